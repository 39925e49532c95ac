/* Weir's own command line: an unknown word is reported and changes nothing; every other word means
 * the same wherever it stands.
 * sources: boot/options.c kernel/lib/pci_id.c
 */
#include <tests/fuzz/fuzz.h>

#include <kernel/core/cpu.h>
#include <kernel/core/uart.h>
#include <boot/options.h>

#define SHOWN 63 /* of a word; the rest is truncated */

static unsigned int warnings;
static char last_warning[256];

void log_print(enum log_level level, const char *fmt, ...)
{
	va_list ap;

	assert_int_equal(level, LOG_WARN);
	va_start(ap, fmt);
	vsnprintf(last_warning, sizeof(last_warning), fmt, ap);
	va_end(ap);
	warnings++;
}

static void check_options(void)
{
	assert_true(options.console == UART_COM1 || options.console == UART_COM2 ||
		    !options.console);
	assert_in_range(options.loglevel, LOG_ERR, LOG_DEBUG);
	assert_in_range(options.build.control_iommu, IDENTITY_NONE, IDENTITY_INCLUSIVE);
	assert_in_range(options.cpus.max, 1, MAX_CPUS);
}

/* A single word: if a warning quotes it, nothing has changed. */
static void parse_alone(const char *word, size_t n, bool first)
{
	struct options before = options;
	unsigned int so_far = warnings;
	char text[SHOWN + 3];
	/* The name of a file is skipped where it is the first word, so another one goes before. */
	const char *before_it = first ? "" : "/ ";

	n = MIN(n, (size_t)SHOWN);
	snprintf(text, sizeof(text), "%s%.*s", before_it, (int)n, word);
	options_parse(text);
	check_options();
	if (warnings == so_far)
		return;
	assert_int_equal(warnings, so_far + 1);
	assert_memory_equal(&options, &before, sizeof(options));
	snprintf(text, sizeof(text), "\"%.*s\"", (int)n, word);
	assert_non_null(strstr(last_warning, text));
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static struct options defaults;
	static bool known;
	struct options all;
	char *line = malloc(size + 1);
	unsigned int warned;

	if (!known)
		defaults = options;
	known = true;
	memcpy(line, data, size);
	line[size] = 0;

	options = defaults;
	warnings = 0;
	options_parse(line);
	all = options;
	warned = warnings;

	options = defaults;
	warnings = 0;
	for (const char *p = line, *first = p + strspn(p, " \t"); *(p += strspn(p, " \t"));
	     p += strcspn(p, " \t"))
		parse_alone(p, strcspn(p, " \t"), p == first);
	assert_memory_equal(&options, &all, sizeof(all));
	assert_int_equal(warnings, warned);
	free(line);
	return 0;
}
