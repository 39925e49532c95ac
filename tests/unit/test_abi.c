/* docs/abi-changes.md against kernel/abi: the newest version, and the size of each structure in
 * it. */
#include "test.h"

#include <kernel/abi/control.h>
#include <kernel/abi/hypercall.h>
#include <kernel/abi/iommu.h>
#include <kernel/lib/compiler.h>

#define CHANGES "docs/abi-changes.md"

#define STRUCTURE(name) { #name, sizeof(struct name) }

static const struct {
	const char *name;
	size_t size;
} structures[] = {
	STRUCTURE(weir_stats),	     STRUCTURE(weir_domain_info),  STRUCTURE(weir_device_info),
	STRUCTURE(weir_memory_info), STRUCTURE(weir_walk),	   STRUCTURE(weir_trace_event),
	STRUCTURE(weir_unit_stats),  STRUCTURE(weir_log_position), STRUCTURE(weir_screen),
};

static void the_newest_entry_is_the_current_version(void **state)
{
	FILE *in = fopen(CHANGES, "r");
	unsigned int version = 0, newest = 0;
	char line[512];

	(void)state;
	assert_non_null(in);
	while (fgets(line, sizeof(line), in)) {
		if (sscanf(line, "## Version %u (", &version) != 1)
			continue;
		if (!newest)
			newest = version;
	}
	fclose(in);
	assert_int_equal(newest, WEIR_ABI_VERSION);
	assert_int_equal(version, 1);
}

/* The last cell of a row "| name | cell | ... | cell |", and the number of cells after the name. */
static char *last_cell(char *row, unsigned int *cells)
{
	char *last = NULL, *next;

	*cells = 0;
	for (char *cell = strtok_r(row, "|", &next); cell; cell = strtok_r(NULL, "|\n", &next)) {
		last = cell;
		(*cells)++;
	}
	(*cells)--;
	return last;
}

/* Ensures that no structure changes without a column for a new version. */
static void the_sizes_are_those_of_the_current_version(void **state)
{
	bool seen[ARRAY_SIZE(structures)] = { false };
	FILE *in = fopen(CHANGES, "r");
	char line[512];

	(void)state;
	assert_non_null(in);
	while (fgets(line, sizeof(line), in)) {
		unsigned int cells;
		char name[64], *size;
		size_t i = 0;

		if (sscanf(line, "| `%63[a-z_]` |", name) != 1)
			continue;
		while (i < ARRAY_SIZE(structures) && strcmp(structures[i].name, name))
			i++;
		if (i == ARRAY_SIZE(structures) || seen[i])
			fail_msg(CHANGES ": %s: unknown, or listed twice", name);
		seen[i] = true;
		size = last_cell(line, &cells);
		assert_int_equal(cells, WEIR_ABI_VERSION);
		if (strtoul(size, NULL, 10) != structures[i].size)
			fail_msg(CHANGES ": %s now has %zu bytes, which needs a new version", name,
				 structures[i].size);
	}
	fclose(in);
	for (size_t i = 0; i < ARRAY_SIZE(structures); i++)
		if (!seen[i])
			fail_msg(CHANGES " does not have %s", structures[i].name);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_newest_entry_is_the_current_version),
		cmocka_unit_test(the_sizes_are_those_of_the_current_version),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
