/* See kernel/guest/loader/modline.h. */
#include <drivers/pci.h>
#include <kernel/core/cpu.h>
#include <kernel/lib/errno.h>
#include <kernel/guest/loader/modline.h>
#include <kernel/lib/string.h>

struct word {
	const char *text;
	size_t len;
};

/* What is shown of a word in a message. */
#define WORD_SHOWN 64

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* The next word of *rest, which moves behind it. False at the end. */
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

static int fail(struct module_error *error, struct word w, const char *what)
{
	char shown[WORD_SHOWN + 1];
	size_t n = MIN(w.len, (size_t)WORD_SHOWN);

	for (size_t i = 0; i < n; i++)
		shown[i] = w.text[i] >= ' ' && w.text[i] <= '~' ? w.text[i] : '?';
	shown[n] = 0;
	snprintf(error->text, sizeof(error->text), "\"%s%s\": %s", shown, n < w.len ? "..." : "", what);
	return -EINVAL;
}

static int fail_line(struct module_error *error, const char *what)
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

static int parse_devices(struct word w, struct word v, struct module_line *out,
			 struct module_error *error)
{
	while (true) {
		struct word one = { v.text, 0 };
		struct pci_id id;

		while (one.len < v.len && v.text[one.len] != ',')
			one.len++;
		if (word_is(one, "ats") && out->nr_devices && !out->ats[out->nr_devices - 1]) {
			out->ats[out->nr_devices - 1] = true;
			goto next;
		}
		if (!pci_parse_address(one.text, one.len, &id))
			return fail(error, w,
				    "no PCI address; write bus:device.function as lspci does: pci=00:03.0 or pci=0000:00:03.0, several with commas, and ats behind one whose own TLB may be used: pci=01:00.0,ats");
		for (u32 i = 0; i < out->nr_devices; i++)
			if (out->device[i].segment == id.segment && out->device[i].bdf == id.bdf)
				return fail(error, w, "names a device twice; take one out");
		if (out->nr_devices == MODLINE_MAX_DEVICES)
			return fail(error, w,
				    "more than 16 devices for one domain; give some to another domain");
		out->device[out->nr_devices++] = id;
	next:
		if (one.len == v.len)
			return 0;
		v.text += one.len + 1;
		v.len -= one.len + 1;
	}
}

static bool parse_restart(struct word v, enum restart_policy *policy)
{
	static const char *const word[] = { "never", "reboot", "fault" };

	for (u32 i = 0; i < ARRAY_SIZE(word); i++)
		if (word_is(v, word[i])) {
			*policy = (enum restart_policy)i;
			return true;
		}
	return false;
}

enum key {
	KEY_NAME = 1,
	KEY_MEM = 2,
	KEY_VCPUS = 4,
	KEY_PRIO = 8,
	KEY_CPU = 16,
	KEY_PCI = 32,
	KEY_CONTROL = 64,
	KEY_RESTART = 128,
	KEY_BALLOON = 256
};

static enum key find_key(struct word w, struct word *value)
{
	static const struct {
		const char *name;
		enum key key;
	} keys[] = { { "name=", KEY_NAME },	 { "mem=", KEY_MEM }, { "vcpus=", KEY_VCPUS },
		     { "prio=", KEY_PRIO },	 { "cpu=", KEY_CPU }, { "pci=", KEY_PCI },
		     { "restart=", KEY_RESTART } };

	if (word_is(w, "control"))
		return KEY_CONTROL;
	if (word_is(w, "balloon"))
		return KEY_BALLOON;

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		size_t n = strlen(keys[i].name);

		if (w.len < n || memcmp(w.text, keys[i].name, n))
			continue;
		*value = (struct word){ w.text + n, w.len - n };
		return keys[i].key;
	}
	return 0;
}

static int parse_kernel_word(struct word w, struct module_line *out, u32 *seen,
			     struct module_error *error)
{
	struct word v = { 0 };
	enum key key = find_key(w, &v);
	u64 n;

	if (!key)
		return fail(error, w,
			    "unknown word; known are name= mem= vcpus= pci= prio= cpu= restart= control balloon, and what follows \"--\" is the guest's");
	if ((*seen & key) && key != KEY_PCI)
		return fail(error, w, "given twice; leave one");
	*seen |= key;

	switch (key) {
	case KEY_NAME:
		if (!parse_name(v, out->domain))
			return fail(error, w,
				    "no usable name; take 1 to 31 letters, digits, '-', '_' or '.': name=net0");
		return 0;
	case KEY_MEM:
		if (!parse_size(v, &out->memory))
			return fail(error, w,
				    "no usable size; write a number and K, M or G, from 2M to 1024G: mem=64M");
		return 0;
	case KEY_VCPUS:
		if (!parse_number(v, &n) || !n || n > DOMAIN_MAX_VCPUS)
			return fail(error, w, "no usable number; a domain has 1 to 16 vCPUs: vcpus=1");
		out->vcpus = n;
		return 0;
	case KEY_PRIO:
		if (!parse_number(v, &n) || n > 255)
			return fail(error, w,
				    "no usable priority; 0 to 255, the higher goes first: prio=128");
		out->priority = n;
		return 0;
	case KEY_CPU:
		if (!parse_number(v, &n) || n >= MAX_CPUS)
			return fail(error, w, "no usable CPU; count from 0, at most 63: cpu=0");
		out->cpu = n;
		return 0;
	case KEY_PCI:
		return parse_devices(w, v, out, error);
	case KEY_RESTART:
		if (!parse_restart(v, &out->restart))
			return fail(error, w,
				    "no reason to start the domain again; take never, reboot or fault: restart=reboot");
		return 0;
	case KEY_CONTROL:
		out->control = true;
		return 0;
	case KEY_BALLOON:
		out->balloon = true;
		return 0;
	}
	return 0;
}

_Static_assert(DOMAIN_NAME_MAX == 32 && DOMAIN_MAX_VCPUS == 16 && MAX_CPUS == 64 &&
		       MODLINE_MAX_DEVICES == 16,
	       "the messages name these limits");

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
	if (!(seen & KEY_NAME))
		return fail_line(error, "the domain has no name; add one: kernel name=net0 ...");
	if (!(seen & KEY_MEM)) {
		snprintf(error->text, sizeof(error->text),
			 "domain %s has no memory; say how much: mem=64M", out->domain);
		return -EINVAL;
	}
	return 0;
}

static int parse_ramdisk(struct word first, const char *rest, struct module_line *out,
			 struct module_error *error)
{
	struct word w, v = { first.text + strlen("ramdisk="), first.len - strlen("ramdisk=") };

	out->kind = MODULE_RAMDISK;
	if (!parse_name(v, out->domain))
		return fail(error, first,
			    "no usable name; name the domain that gets this file, as in its name= word: ramdisk=net0");
	if (!next_word(&rest, &w))
		return 0;
	if (!word_is(w, "--"))
		return fail(error, w,
			    "unknown word after ramdisk=; text for the guest goes behind \"--\"");
	out->command_line = skip_spaces(rest);
	return 0;
}

int modline_parse(const char *line, struct module_line *out, struct module_error *error)
{
	const char *rest = line;
	struct word w, path;

	*out = (struct module_line){ .vcpus = 1,
				     .priority = MODLINE_DEFAULT_PRIORITY,
				     .cpu = -1,
				     .restart = RESTART_REBOOT,
				     .command_line = "" };
	error->text[0] = 0;
	if (!next_word(&rest, &w))
		return fail_line(error,
				 "empty module line; begin it with \"kernel name=... mem=...\" or \"ramdisk=NAME\"");
	/* GRUB hands over the arguments, in some versions with the file's name in front. */
	path = w;
	if ((*w.text == '/' || *w.text == '(') && !next_word(&rest, &w))
		return fail(error, path,
			    "nothing follows the file name; go on with \"kernel name=... mem=...\" or \"ramdisk=NAME\"");
	if (word_is(w, "kernel"))
		return parse_kernel(rest, out, error);
	if (w.len >= strlen("ramdisk=") && !memcmp(w.text, "ramdisk=", strlen("ramdisk=")))
		return parse_ramdisk(w, rest, out, error);
	return fail(error, w,
		    "unknown kind of module; begin with \"kernel name=... mem=...\" or \"ramdisk=NAME\"");
}
