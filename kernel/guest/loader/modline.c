/* Parser of GRUB's module lines. */
#include <kernel/guest/loader/modline.h>

#include <kernel/core/cpu.h>
#include <kernel/lib/errno.h>
#include <kernel/lib/pci_id.h>
#include <kernel/lib/string.h>

struct word {
	const char *text;
	size_t len;
};

/* Messages show at most this many characters of a word. */
#define WORD_SHOWN 64

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Get the next word of *rest, and advance *rest past it. False at the end. */
static bool next_word(const char **rest, struct word *w)
{
	const char *p = *rest;

	while (is_space(*p))
		p++;
	w->text = p;
	while (*p && !is_space(*p))
		p++;
	w->len = p - w->text;
	*rest = p;
	return w->len;
}

static bool word_is(struct word w, const char *s)
{
	return w.len == strlen(s) && !memcmp(w.text, s, w.len);
}

static int refuse_word(struct module_error *error, struct word w, const char *what)
{
	char shown[WORD_SHOWN + 1];
	size_t n = MIN(w.len, (size_t)WORD_SHOWN);
	const char *dots = n < w.len ? "..." : "";

	for (size_t i = 0; i < n; i++)
		shown[i] = w.text[i] >= ' ' && w.text[i] <= '~' ? w.text[i] : '?';
	shown[n] = 0;
	snprintf(error->text, sizeof(error->text), "\"%s%s\": %s", shown, dots, what);
	return -EINVAL;
}

static int refuse_line(struct module_error *error, const char *what)
{
	snprintf(error->text, sizeof(error->text), "%s", what);
	return -EINVAL;
}

static bool is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '_' || c == '.';
}

static bool parse_name(struct word v, char *name)
{
	if (!v.len || v.len >= DOMAIN_NAME_MAX)
		return false;
	for (size_t i = 0; i < v.len; i++)
		if (!is_name_char(v.text[i]))
			return false;
	memcpy(name, v.text, v.len);
	name[v.len] = 0;
	return true;
}

static bool parse_number(struct word v, u64 *n)
{
	*n = 0;
	for (size_t i = 0; i < v.len; i++) {
		if (v.text[i] < '0' || v.text[i] > '9' || *n > (~0UL - 9) / 10)
			return false;
		*n = *n * 10 + (v.text[i] - '0');
	}
	return v.len;
}

static bool parse_size(struct word v, u64 *bytes)
{
	unsigned int shift;
	u64 n;

	if (v.len < 2)
		return false;
	switch (v.text[v.len - 1] | 0x20) {
	case 'k':
		shift = 10;
		break;
	case 'm':
		shift = 20;
		break;
	case 'g':
		shift = 30;
		break;
	default:
		return false;
	}
	v.len--;
	if (!parse_number(v, &n) || n > MODLINE_MAX_MEMORY >> shift)
		return false;
	*bytes = n << shift;
	return *bytes >= MODLINE_MIN_MEMORY && IS_ALIGNED(*bytes, PAGE_SIZE);
}

/* --- the words of a kernel ------------------------------------------------ */

static bool set_name(struct word v, struct module_line *out)
{
	return parse_name(v, out->domain);
}

static bool set_memory(struct word v, struct module_line *out)
{
	return parse_size(v, &out->memory);
}

static bool set_vcpus(struct word v, struct module_line *out)
{
	u64 n;

	if (!parse_number(v, &n) || !n || n > DOMAIN_MAX_VCPUS)
		return false;
	out->vcpus = n;
	return true;
}

static bool set_priority(struct word v, struct module_line *out)
{
	u64 n;

	if (!parse_number(v, &n) || n > 255)
		return false;
	out->priority = n;
	return true;
}

static bool set_cpu(struct word v, struct module_line *out)
{
	u64 n;

	if (!parse_number(v, &n) || n >= MAX_CPUS)
		return false;
	out->cpu = n;
	return true;
}

static bool set_restart(struct word v, struct module_line *out)
{
	static const char *const word[] = { "never", "reboot", "fault" };

	for (u32 i = 0; i < ARRAY_SIZE(word); i++)
		if (word_is(v, word[i])) {
			out->restart = (enum restart_policy)i;
			return true;
		}
	return false;
}

static bool set_halt(struct word v, struct module_line *out)
{
	static const char *const word[] = { "keep", "restart", "end" };

	for (u32 i = 0; i < ARRAY_SIZE(word); i++)
		if (word_is(v, word[i])) {
			out->halt = (enum halt_policy)i;
			return true;
		}
	return false;
}

static bool set_control(struct word v __unused, struct module_line *out)
{
	out->control = true;
	return true;
}

static bool set_balloon(struct word v __unused, struct module_line *out)
{
	out->balloon = true;
	return true;
}

static bool set_legacy(struct word v, struct module_line *out)
{
	out->legacy = word_is(v, "on");
	return out->legacy || word_is(v, "off");
}

/* Words that may be given once: with a value if the name ends in "=". */
static const struct key {
	const char *name;
	bool (*set)(struct word value, struct module_line *out);
	const char *what; /* is wrong if the value cannot be used */
} keys[] = {
	{
		.name = "name=",
		.set = set_name,
		.what = "no usable name; take 1 to 31 letters, digits, '-', '_' or '.': name=net0",
	},
	{
		.name = "mem=",
		.set = set_memory,
		.what = "no usable size; write a number and K, M or G, from 2M to 1024G: mem=64M",
	},
	{
		.name = "vcpus=",
		.set = set_vcpus,
		.what = "no usable number; a domain has 1 to 16 vCPUs: vcpus=1",
	},
	{
		.name = "prio=",
		.set = set_priority,
		.what = "no usable priority; 0 to 255, higher ones run first: prio=128",
	},
	{
		.name = "cpu=",
		.set = set_cpu,
		.what = "no usable CPU; count from 0, at most 255: cpu=0",
	},
	{
		.name = "restart=",
		.set = set_restart,
		.what = "no usable policy; take never, reboot or fault: restart=reboot",
	},
	{
		.name = "halt=",
		.set = set_halt,
		.what = "no usable policy; take keep, restart or end: halt=end",
	},
	{
		.name = "legacy=",
		.set = set_legacy,
		.what = "no usable choice; take on or off: legacy=off",
	},
	{ .name = "control", .set = set_control },
	{ .name = "balloon", .set = set_balloon },
};
#define KEY_NAME 0
#define KEY_MEMORY 1

_Static_assert(DOMAIN_NAME_MAX == 32 && DOMAIN_MAX_VCPUS == 16 && MAX_CPUS == 256 &&
		       MODLINE_MAX_DEVICES == 16,
	       "the messages name these limits");

/* The value of a word that begins with `name`, which ends in "="; false if it does not. */
static bool has_value(struct word w, const char *name, struct word *value)
{
	size_t n = strlen(name);

	if (w.len < n || memcmp(w.text, name, n))
		return false;
	*value = (struct word){ w.text + n, w.len - n };
	return true;
}

/* The key of a word, by its index in keys[]; ARRAY_SIZE(keys) if there is none. */
static u32 find_key(struct word w, struct word *value)
{
	u32 i = 0;

	*value = (struct word){ 0 };
	while (i < ARRAY_SIZE(keys) &&
	       !(keys[i].what ? has_value(w, keys[i].name, value) : word_is(w, keys[i].name)))
		i++;
	return i;
}

/* One address or "ats" of pci=. Returns NULL, or what is wrong. */
static const char *add_device(struct word one, struct module_line *out)
{
	struct pci_id id;

	if (word_is(one, "ats") && out->nr_devices && !out->ats[out->nr_devices - 1]) {
		out->ats[out->nr_devices - 1] = true;
		return NULL;
	}
	if (!pci_parse_address(one.text, one.len, &id))
		return "no PCI address; write bus:device.function as lspci does: "
		       "pci=00:03.0 or pci=0000:00:03.0, several with commas, "
		       "and ats behind one whose own TLB may be used: pci=01:00.0,ats";
	for (u32 i = 0; i < out->nr_devices; i++)
		if (out->device[i].segment == id.segment && out->device[i].bdf == id.bdf)
			return "names a device twice; take one out";
	if (out->nr_devices == MODLINE_MAX_DEVICES)
		return "more than 16 devices (MODLINE_MAX_DEVICES) for one domain; "
		       "give some to another domain";
	out->device[out->nr_devices++] = id;
	return NULL;
}

/* The value of pci=: addresses and "ats", with commas. */
static const char *add_devices(struct word v, struct module_line *out)
{
	while (true) {
		struct word one = { v.text, 0 };
		const char *what;

		while (one.len < v.len && v.text[one.len] != ',')
			one.len++;
		what = add_device(one, out);
		if (what || one.len == v.len)
			return what;
		v.text += one.len + 1;
		v.len -= one.len + 1;
	}
}

static int parse_kernel_word(struct word w, struct module_line *out, u32 *seen,
			     struct module_error *error)
{
	struct word v;
	const char *what;
	u32 i;

	if (has_value(w, "pci=", &v)) {
		what = add_devices(v, out);
		return what ? refuse_word(error, w, what) : 0;
	}
	i = find_key(w, &v);
	if (i == ARRAY_SIZE(keys))
		return refuse_word(error, w,
				   "unknown word; known are name= mem= vcpus= pci= prio= cpu= "
				   "restart= halt= legacy= control balloon, and what "
				   "follows \"--\" is the guest's");
	if (*seen & BIT(i))
		return refuse_word(error, w, "given twice; leave one");
	*seen |= (u32)BIT(i);
	return keys[i].set(v, out) ? 0 : refuse_word(error, w, keys[i].what);
}

/* --- lines ---------------------------------------------------------------- */

static const char *skip_spaces(const char *p)
{
	while (is_space(*p))
		p++;
	return p;
}

static int parse_kernel(const char *rest, struct module_line *out, struct module_error *error)
{
	struct word w;
	u32 seen = 0;
	int err;

	out->kind = MODULE_KERNEL;
	while (next_word(&rest, &w)) {
		if (word_is(w, "--")) {
			out->command_line = skip_spaces(rest);
			break;
		}
		err = parse_kernel_word(w, out, &seen, error);
		if (err)
			return err;
	}
	if (!(seen & BIT(KEY_NAME)))
		return refuse_line(error, "the domain has no name; add one: kernel name=net0 ...");
	if (!(seen & BIT(KEY_MEMORY))) {
		snprintf(error->text, sizeof(error->text),
			 "domain %s has no memory; say how much: mem=64M", out->domain);
		return -EINVAL;
	}
	return 0;
}

static int parse_ramdisk(struct word first, struct word name, const char *rest,
			 struct module_line *out, struct module_error *error)
{
	struct word w;

	out->kind = MODULE_RAMDISK;
	if (!parse_name(name, out->domain))
		return refuse_word(error, first,
				   "no usable name; name the domain that gets this file, "
				   "as in its name= word: ramdisk=net0");
	if (!next_word(&rest, &w))
		return 0;
	if (!word_is(w, "--"))
		return refuse_word(error, w,
				   "unknown word after ramdisk=; "
				   "text for the guest goes behind \"--\"");
	out->command_line = skip_spaces(rest);
	return 0;
}

int modline_parse(const char *line, struct module_line *out, struct module_error *error)
{
	const char *rest = line;
	struct word w, path, name;

	*out = (struct module_line){ .vcpus = 1,
				     .priority = MODLINE_DEFAULT_PRIORITY,
				     .cpu = -1,
				     .restart = RESTART_REBOOT,
				     .halt = HALT_KEEP,
				     .legacy = true,
				     .command_line = "" };
	error->text[0] = 0;
	if (!next_word(&rest, &w))
		return refuse_line(error, "empty module line; begin it with "
					  "\"kernel name=... mem=...\" or \"ramdisk=NAME\"");
	/* GRUB passes the arguments, in some versions with the file's name in front. */
	path = w;
	if ((*w.text == '/' || *w.text == '(') && !next_word(&rest, &w))
		return refuse_word(error, path,
				   "nothing follows the file name; go on with "
				   "\"kernel name=... mem=...\" or \"ramdisk=NAME\"");
	if (word_is(w, "kernel"))
		return parse_kernel(rest, out, error);
	if (has_value(w, "ramdisk=", &name))
		return parse_ramdisk(w, name, rest, out, error);
	return refuse_word(error, w,
			   "unknown kind of module; begin with "
			   "\"kernel name=... mem=...\" or \"ramdisk=NAME\"");
}
