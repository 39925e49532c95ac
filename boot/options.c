/* The parser of Weir's own command line: a table of words, each with a function that takes its
 * value. */
#include <boot/options.h>

#include <kernel/core/cpu.h>
#include <kernel/core/debugexit.h>
#include <kernel/core/uart.h>
#include <kernel/guest/devices/pci/irqstorm.h>
#include <kernel/lib/string.h>

#define MAX_VIRTUAL 64
#define MAX_IRQ_LIMIT 10000000

struct options options = {
	.console = UART_COM1,
	.loglevel = LOG_INFO,
	.cpus.max = MAX_CPUS,
	.build.control_iommu = IDENTITY_STRICT,
	.irq_limit = 20000,
};

static bool set_console(const char *v)
{
	if (!strcmp(v, "com1"))
		options.console = UART_COM1;
	else if (!strcmp(v, "com2"))
		options.console = UART_COM2;
	else if (!strcmp(v, "none"))
		options.console = 0;
	else
		return false;
	return true;
}

static bool set_loglevel(const char *v)
{
	static const char *const word[] = { "error", "warning", "info", "debug" };

	for (u32 i = 0; i < ARRAY_SIZE(word); i++)
		if (!strcmp(v, word[i])) {
			options.loglevel = (enum log_level)i;
			return true;
		}
	return false;
}

static bool set_iommu(const char *v)
{
	bool off = !strcmp(v, "off"), no_intremap = !strcmp(v, "nointremap");

	if (!off && !no_intremap && strcmp(v, "on"))
		return false;
	options.iommu_off = off;
	options.no_intremap = no_intremap;
	return true;
}

static bool set_control_iommu(const char *v)
{
	static const char *const word[] = { "none", "strict", "relaxed", "inclusive" };

	for (u32 i = 0; i < ARRAY_SIZE(word); i++)
		if (!strcmp(v, word[i])) {
			options.build.control_iommu = (enum identity_policy)i;
			return true;
		}
	return false;
}

/* A decimal number from min to max. */
static bool parse_number(const char *v, u32 min, u32 max, u32 *n)
{
	u64 value = 0;

	if (!*v)
		return false;
	for (; *v >= '0' && *v <= '9' && value <= max; v++)
		value = value * 10 + (u32)(*v - '0');
	if (*v || value < min || value > max)
		return false;
	*n = (u32)value;
	return true;
}

static bool set_maxcpus(const char *v)
{
	return parse_number(v, 1, MAX_CPUS, &options.cpus.max);
}

static bool parse_switch(const char *v, bool *on)
{
	*on = !strcmp(v, "on");
	return *on || !strcmp(v, "off");
}

static bool set_smt(const char *v)
{
	bool on, known = parse_switch(v, &on);

	if (known)
		options.cpus.one_thread = !on;
	return known;
}

static bool set_irq_limit(const char *v)
{
	return parse_number(v, 0, 0, &options.irq_limit) ||
	       parse_number(v, IRQ_WINDOWS_PER_SECOND, MAX_IRQ_LIMIT, &options.irq_limit);
}

static bool is_same(struct pci_id a, struct pci_id b)
{
	return a.segment == b.segment && a.bdf == b.bdf;
}

/* DEVICE,N. If a device is named twice, the last word wins. */
static bool set_sriov(const char *v)
{
	const char *comma = strchr(v, ',');
	struct pci_id id;
	u32 nr, i = 0;

	if (!comma || !pci_parse_address(v, (size_t)(comma - v), &id) ||
	    !parse_number(comma + 1, 1, MAX_VIRTUAL, &nr))
		return false;
	while (i < OPTIONS_SRIOV && options.sriov[i].nr && !is_same(options.sriov[i].device, id))
		i++;
	if (i == OPTIONS_SRIOV)
		return false;
	options.sriov[i].device = id;
	options.sriov[i].nr = nr;
	return true;
}

static bool set_x2apic(const char *v)
{
	bool on, known = parse_switch(v, &on);

	if (known) {
		options.x2apic_on = on;
		options.x2apic_off = !on;
	}
	return known;
}

static bool set_mitigations(const char *v)
{
	bool on, known = parse_switch(v, &on);

	if (known)
		options.mitigations_off = !on;
	return known;
}

static bool set_exit(const char *v)
{
	if (!strcmp(v, "ready"))
		options.exit_at = DEBUG_EXIT_READY;
	else if (!strcmp(v, "idle"))
		options.exit_at = DEBUG_EXIT_IDLE;
	else if (!strcmp(v, "never"))
		options.exit_at = DEBUG_EXIT_NEVER;
	else
		return false;
	return true;
}

static bool set_nmi(const char *v)
{
	bool panics = !strcmp(v, "panic");

	if (!panics && strcmp(v, "count"))
		return false;
	options.nmi_panics = panics;
	return true;
}

static bool set_panic(const char *v)
{
	if (strcmp(v, "test"))
		return false;
	options.panic_test = true;
	return true;
}

#ifdef WEIR_DEBUG
#define MAX_FAIL_EVERY 9999999

static bool set_fail_alloc(const char *v)
{
	u32 n;

	if (!strcmp(v, "builds")) {
		options.build.fail_allocations = true;
		return true;
	}
	if (!parse_number(v, 1, MAX_FAIL_EVERY, &n))
		return false;
	options.fail_every = n;
	return true;
}

static bool set_late_posts(const char *v)
{
	return parse_number(v, 1, 60000, &options.late_posts);
}

static bool set_late_answers(const char *v)
{
	return parse_number(v, 1, 60000, &options.late_answers);
}
#endif

static const struct {
	const char *name;
	bool (*set)(const char *value);
	const char *values;
} words[] = {
	{ "console", set_console, "com1, com2, none" },
	{ "loglevel", set_loglevel, "error, warning, info, debug" },
	{ "iommu", set_iommu, "on, off, nointremap" },
	{ "control-iommu", set_control_iommu, "strict, relaxed, inclusive, none" },
	{ "maxcpus", set_maxcpus, "1 to 256" },
	{ "smt", set_smt, "on, off" },
	{ "irq-limit", set_irq_limit, "0, 100 to 10000000" },
	{ "sriov", set_sriov, "DEVICE,1 to DEVICE,64, for at most 4 devices" },
	{ "x2apic", set_x2apic, "on, off" },
	{ "mitigations", set_mitigations, "on, off" },
	{ "exit", set_exit, "ready, idle, never" },
#ifdef WEIR_DEBUG
	{ "fail-alloc", set_fail_alloc, "builds, or a number" },
	{ "late-posts", set_late_posts, "1 to 60000" },
	{ "late-answers", set_late_answers, "1 to 60000" },
#endif
	{ "nmi", set_nmi, "count, panic" },
	{ "panic", set_panic, "test" },
};
_Static_assert(MAX_CPUS == 256, "maxcpus= in words[]");
_Static_assert(MAX_IRQ_LIMIT == 10000000 && IRQ_WINDOWS_PER_SECOND == 100, "irq-limit= in words[]");
_Static_assert(MAX_VIRTUAL == 64 && OPTIONS_SRIOV == 4, "sriov= in words[]");

/* Some boot loaders (kexec) pass the file's name as the first word. */
static bool is_file_name(const char *word)
{
	return strchr(word, '/') && !strchr(word, '=');
}

static void parse_word(const char *word)
{
	const char *equals = strchr(word, '=');
	size_t n = equals ? (size_t)(equals - word) : strlen(word);

	for (u32 i = 0; i < ARRAY_SIZE(words); i++) {
		if (strncmp(word, words[i].name, n) || words[i].name[n])
			continue;
		if (!equals || !words[i].set(equals + 1))
			log_warn("command line: \"%s\": give one of %s=%s; ignored", word,
				 words[i].name, words[i].values);
		return;
	}
	log_warn("command line: unknown word \"%s\" ignored", word);
}

void options_parse(const char *cmdline)
{
	char word[64];
	bool first = true;

	while (*cmdline) {
		size_t n = 0;

		for (; *cmdline == ' ' || *cmdline == '\t'; cmdline++)
			;
		for (; *cmdline && *cmdline != ' ' && *cmdline != '\t'; cmdline++)
			if (n + 1 < sizeof(word))
				word[n++] = *cmdline;
		word[n] = 0;
		if (n && !(first && is_file_name(word)))
			parse_word(word);
		first = false;
	}
}
