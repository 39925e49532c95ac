/* Compares the table of limits in CAVEATS.md, which names their constants, with the source. */
#include "test.h"

#include <ctype.h>
#include <stdbool.h>

#define CELL 128
#define SOURCES "kernel iommu drivers boot"

struct row {
	char what[CELL], constant[CELL];
	long limit;
};

/* The next row of the table. False at the end of its section. */
static bool next_row(FILE *in, struct row *r)
{
	char line[512];

	while (fgets(line, sizeof(line), in) && line[0] != '#') {
		int end = 0;

		if (line[0] != '|' || line[1] == '-' || !strncmp(line, "| what ", 7))
			continue;
		if (sscanf(line, "| %127[^|]| %ld | `%127[A-Za-z0-9_]` |%n", r->what, &r->limit,
			   r->constant, &end) != 3 ||
		    !end)
			fail_msg("CAVEATS.md: cannot parse: %s", line);
		return true;
	}
	return false;
}

static FILE *open_limits(void)
{
	FILE *in = fopen("CAVEATS.md", "r");
	char line[512];

	assert_non_null(in);
	while (fgets(line, sizeof(line), in))
		if (!strcmp(line, "### Limits\n"))
			return in;
	fail_msg("CAVEATS.md has no section \"Limits\"");
	return NULL;
}

/* The value in "#define NAME VALUE". It must be a plain number. */
static long value_in(const char *definition, const char *name)
{
	const char *text = strstr(definition, name) + strlen(name);
	char *end;
	long value = strtol(text, &end, 0);

	end += strspn(end, "uUlL");
	if (end == text || !(isspace((unsigned char)*end) || !*end))
		fail_msg("not a number: %s", definition);
	return value;
}

/* The constant's value. Any file of the hypervisor may define it. */
static long value_of(const char *name)
{
	char command[256 + CELL], line[512];
	bool found = false;
	long value = 0;
	FILE *grep;

	snprintf(command, sizeof(command),
		 "grep -rhE --include='*.[ch]' '^#define %s[[:space:]]' " SOURCES, name);
	grep = popen(command, "r");
	assert_non_null(grep);
	while (fgets(line, sizeof(line), grep)) {
		long other = value_in(line, name);

		if (found && other != value)
			fail_msg("%s has two values: %ld and %ld", name, value, other);
		value = other;
		found = true;
	}
	pclose(grep);
	if (!found)
		fail_msg("no \"#define %s\" in " SOURCES, name);
	return value;
}

static void limits(void **state)
{
	FILE *in = open_limits();
	unsigned int rows = 0;
	struct row r;

	(void)state;
	for (; next_row(in, &r); rows++) {
		long value = value_of(r.constant);

		if (value != r.limit)
			fail_msg("CAVEATS.md: %s: %ld, but %s is %ld", r.what, r.limit, r.constant,
				 value);
	}
	fclose(in);
	/* An empty table would prove nothing. */
	assert_true(rows >= 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
