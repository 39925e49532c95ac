/* Compares docs/guests.md, which describes what a guest finds, with the tables in the code: each
 * must have every entry of the other.
 *
 * sources: kernel/guest/vcpu/kvmclock.c kernel/guest/devices/guestacpi.c
 * sources: kernel/guest/memory/guestmap.c
 */
#include "test.h"

#include <kernel/guest/memory/guestcopy.h>
#include <kernel/x86/cpuid.h>

/* All CPUID registers of the simulated processor. */
static u32 own_bits;

static struct cpuid test_cpuid(u32 leaf, u32 subleaf)
{
	(void)leaf, (void)subleaf;
	return (struct cpuid){ own_bits, own_bits, own_bits, own_bits };
}

#define cpuid(leaf, subleaf) test_cpuid(leaf, subleaf)
#include <kernel/guest/vcpu/cpuid.c>
#include <kernel/guest/vcpu/cpuidcommon.c>
#undef cpuid
#include <kernel/guest/vcpu/msr.c>
#include <kernel/guest/vcpu/svm/maps.c>

#include <kernel/guest/devices/guestacpi.h>
#include <kernel/guest/devices/guestfirmware.h>
#include <kernel/guest/devices/pci/vpci.h>
#include <kernel/guest/vcpu/backend.h>
#include <kernel/guest/memory/guestmap.h>

#include <ctype.h>

/* --- what the policies call ----------------------------------------------- */

static u64 tsc_hz;

u64 clock_tsc_hz(void)
{
	return tsc_hz;
}

static void mode(const struct vcpu *v, struct vcpu_mode *m)
{
	(void)v;
	*m = (struct vcpu_mode){ .cr4 = CR4_OSXSAVE };
}

static const struct vcpu_backend backend = { .mode = mode };
const struct vcpu_backend *vcpu_backend = &backend;

/* Linked, but never called. */
u64 clock_ns_mult(void)
{
	return 0;
}

u64 clock_wall_ns(u64 ns)
{
	return ns;
}

int pveoi_write_msr(struct vcpu *v, u64 value)
{
	(void)v, (void)value;
	return -EINVAL;
}

int guest_write(struct memory *m, gpaddr_t gpa, const void *buf, size_t len)
{
	(void)m, (void)gpa, (void)buf, (void)len;
	return -EFAULT;
}

int vlapic_read_msr(struct vcpu *v, u32 msr, u64 *value)
{
	(void)v, (void)msr;
	*value = 0;
	return 0;
}

int vlapic_write_msr(struct vcpu *v, u32 msr, u64 value)
{
	(void)v, (void)msr, (void)value;
	return 0;
}

mfn_t alloc_frames(unsigned int order)
{
	(void)order;
	return INVALID_MFN;
}

void *phys_to_virt(paddr_t pa)
{
	return (void *)pa;
}

paddr_t virt_to_phys(const void *p)
{
	return (paddr_t)p;
}

/* --- the document --------------------------------------------------------- */

#define CELLS 6

static char docs[131072];

/* The text below the heading with this name. */
static const char *section(const char *heading)
{
	char line[80];
	const char *at;

	if (!docs[0]) {
		FILE *in = fopen("docs/guests.md", "r");

		assert_non_null(in);
		assert_in_range(fread(docs, 1, sizeof(docs) - 1, in), 1000, sizeof(docs) - 2);
		fclose(in);
	}
	snprintf(line, sizeof(line), "\n### %s\n", heading);
	at = strstr(docs, line);
	assert_non_null(at);
	return at + 1;
}

/* Finds the next row of the section's table, from *at on, whose first cell begins with `mark`.
 * False at the end of the section. */
static bool next_row(const char **at, char cell[CELLS][512])
{
	for (;;) {
		const char *line = strchr(*at, '\n');
		u32 n = 0;

		if (!line || line[1] == '#')
			return false;
		line++;
		*at = line;
		if (*line != '|' || line[1] == '-')
			continue;
		memset(cell, 0, CELLS * sizeof(cell[0]));
		for (line++; n < CELLS && *line && *line != '\n'; n++) {
			size_t len = strcspn(line, "|\n");
			const char *end = line + len;

			while (len && *line == ' ')
				line++, len--;
			while (len && line[len - 1] == ' ')
				len--;
			assert_in_range(len, 0, 511);
			memcpy(cell[n], line, len);
			line = *end == '|' ? end + 1 : end;
		}
		return true;
	}
}

/* --- CPUID ---------------------------------------------------------------- */

/* What the document may say about a register. */
struct said {
	u32 own, always, varies;
};

static struct cpuid ask(u32 leaf, u32 subleaf, u32 bits, u32 id, u32 nr, u64 hz)
{
	static struct vm vm;
	static struct vcpu v = { .lapic.apic_base = APIC_BASE_ENABLE };

	own_bits = bits;
	is_filled = false;
	policy_cpu_init();
	tsc_hz = hz;
	vm.nr_vcpus = nr;
	v = (struct vcpu){ .vm = &vm, .id = id, .xcr0 = XCR0_X87 | XCR0_AVX };
	v.lapic.apic_base = APIC_BASE_ENABLE;
	return policy_cpuid(&v, leaf, subleaf);
}

static u32 of(struct cpuid r, unsigned int reg)
{
	const u32 value[] = { r.eax, r.ebx, r.ecx, r.edx };

	return value[reg];
}

static struct said answer(u32 leaf, unsigned int reg)
{
	u32 ones = of(ask(leaf, 0, ~0u, 0, 1, 2000000000), reg),
	    zeros = of(ask(leaf, 0, 0, 0, 1, 2000000000), reg), vary = 0;

	for (u32 id = 1; id < 16; id++)
		vary |= of(ask(leaf, 0, ~0u, id, id + 1, 2000000000UL + 12345678 * id), reg) ^ ones;
	return (struct said){ ones & ~zeros & ~vary, zeros & ~vary, vary };
}

/* "own", "0x12 + 0x34, varies", "= 0x12", "0" */
static struct said parse(const char *cell)
{
	struct said s = { 0, 0, strstr(cell, "varies") != NULL };
	char *end;

	if (*cell == '=') {
		s.always = (u32)strtoul(cell + 1, &end, 16);
	} else if (!strncmp(cell, "own", 3)) {
		s.own = ~0u;
		end = (char *)cell + 3;
	} else {
		s.own = (u32)strtoul(cell, &end, 16);
	}
	if (!strncmp(end, " + ", 3))
		s.always = (u32)strtoul(end + 3, &end, 16);
	if (*end && strcmp(end, ", varies"))
		fail_msg("cannot parse: \"%s\"", cell);
	return s;
}

static void check_leaf(u32 leaf, char cell[CELLS][512])
{
	for (unsigned int reg = 0; reg < 4; reg++) {
		struct said is = answer(leaf, reg), said;

		if (!strcmp(cell[1 + reg], "a size")) {
			assert_true(is.own);
			continue;
		}
		if (!strcmp(cell[1 + reg], "varies")) {
			assert_true(is.varies && !is.own);
			continue;
		}
		said = parse(cell[1 + reg]);
		if ((said.own & ~is.varies) != is.own || said.always != is.always ||
		    said.varies != (is.varies != 0))
			fail_msg("leaf 0x%x, register %u: \"%s\", but own 0x%x, always 0x%x, "
				 "varies 0x%x",
				 leaf, reg, cell[1 + reg], is.own, is.always, is.varies);
	}
}

static bool row_of_leaf(u32 leaf, char cell[CELLS][512])
{
	const char *at = section("CPUID");

	while (next_row(&at, cell))
		if (!strncmp(cell[0], "0x", 2) && strtoul(cell[0], NULL, 16) == leaf)
			return true;
	return false;
}

static void check_leaves(u32 first, u32 last)
{
	static char row[CELLS][512];

	for (u32 leaf = first; leaf <= last; leaf++) {
		if (row_of_leaf(leaf, row)) {
			check_leaf(leaf, row);
			continue;
		}
		for (u32 subleaf = 0; subleaf < 8; subleaf++)
			for (unsigned int reg = 0; reg < 4; reg++)
				if (of(ask(leaf, subleaf, ~0u, 3, 4, 2000000000), reg))
					fail_msg("no row describes leaf 0x%x", leaf);
	}
}

static void cpuid_leaves(void **state)
{
	static char row[CELLS][512];
	const char *at = section("CPUID");
	u32 rows = 0;

	(void)state;
	check_leaves(0, 0x40);
	check_leaves(0x3fffffff, 0x40000200);
	check_leaves(0x80000000, 0x80000040);
	check_leaves(0xc0000000, 0xc0000008);
	/* No row describes a leaf that was not tested. */
	while (next_row(&at, row)) {
		u64 leaf = strtoul(row[0], NULL, 16);

		rows++;
		assert_true(leaf <= 0x40 || (leaf >= 0x40000000 && leaf <= 0x40000200) ||
			    (leaf >= 0x80000000 && leaf <= 0x80000040));
	}
	assert_int_equal(rows, 1 + 19);
	/* Only these leaves have subleaves. */
	for (unsigned int reg = 0; reg < 4; reg++)
		assert_int_equal(of(ask(7, 1, ~0u, 0, 1, 1), reg), 0);
}

/* --- MSRs ----------------------------------------------------------------- */

struct msr_answer {
	char read[16], written[16];
};

static struct msr_answer msr_answer(u32 msr)
{
	const struct msr_policy *p = find(msr);
	struct msr_answer a = { "#GP", "#GP" };

	for (size_t i = 0; i < ARRAY_SIZE(passed); i++)
		if (passed[i] == msr)
			return (struct msr_answer){ "CPU", "CPU" };
	switch (p ? p->action : DENY) {
	case DENY:
		break;
	case FIXED:
		snprintf(a.read, sizeof(a.read), "0x%lx", p->value);
		strcpy(a.written, "dropped");
		break;
	case APIC:
		return (struct msr_answer){ "APIC", "APIC" };
	case KVM:
		return (struct msr_answer){ "clock", "clock" };
	case PV_EOI:
		return (struct msr_answer){ "kept", "EOI" };
	case OWN:
		return (struct msr_answer){ "kept", "kept" };
	}
	return a;
}

/* Finds the document's row with this MSR. *named is true if there is one. */
static struct msr_answer msr_said(u32 msr, bool *named)
{
	static char row[CELLS][512];
	const char *at = section("MSRs");
	struct msr_answer a = { "#GP", "#GP" };

	*named = false;
	while (next_row(&at, row)) {
		char *end;
		u64 first = strtoul(row[0], &end, 16);
		u64 last = *end == '-' ? strtoul(end + 1, NULL, 16) : first;

		if (strncmp(row[0], "0x", 2) || msr < first || msr > last)
			continue;
		assert_false(*named);
		*named = true;
		snprintf(a.read, sizeof(a.read), "%.15s", row[1]);
		snprintf(a.written, sizeof(a.written), "%.15s", row[2]);
	}
	return a;
}

static void check_msrs(u32 first, u32 last)
{
	for (u32 msr = first; msr <= last; msr++) {
		bool named;
		struct msr_answer said = msr_said(msr, &named), is = msr_answer(msr);

		if (strcmp(said.read, is.read) || strcmp(said.written, is.written))
			fail_msg("MSR 0x%x: \"%s\" and \"%s\", but %s and %s", msr, said.read,
				 said.written, is.read, is.written);
		/* An MSR that is refused on purpose must be documented. */
		if (find(msr) && !named)
			fail_msg("no row describes MSR 0x%x", msr);
	}
}

static void model_specific_registers(void **state)
{
	(void)state;
	check_msrs(0, 0x1fff);
	check_msrs(0x4b564cf0, 0x4b564d10);
	check_msrs(0xc0000000, 0xc0000fff);
	check_msrs(0xc0010000, 0xc0011fff);
	/* The table contains no memory elsewhere. */
	for (size_t i = 0; i < ARRAY_SIZE(msrs); i++)
		assert_true(msrs[i].last <= 0x1fff || msrs[i].first >= 0x4b564cf0);
}

/* --- ACPI ----------------------------------------------------------------- */

static void acpi_tables(void **state)
{
	static char row[CELLS][512];
	static u8 tables[GUEST_ACPI_MAX];
	size_t size = guestacpi_make(tables, 4, (struct vwindow){ 1UL << 32, 1UL << 38 }, true);
	const char *at = section("ACPI");
	u32 told = 0, found = 0;

	(void)state;
	for (size_t i = 0; i + 9 < size; i += 16) {
		char name[8] = { 0 }, revision[8];
		bool is_rsdp = !memcmp(tables + i, "RSD PTR ", 8);
		const char *from = at;

		memcpy(name, is_rsdp ? "RSDP" : (char *)tables + i, 4);
		snprintf(revision, sizeof(revision), "%u", tables[i + (is_rsdp ? 15 : 8)]);
		if (!is_rsdp && memcmp(tables + i + 10, "WEIR  ", 6))
			continue;
		found++;
		while (next_row(&from, row))
			told += !strcmp(row[0], name) && !strcmp(row[1], revision);
		if (told != found)
			fail_msg("no row describes table %s, revision %s", name, revision);
	}
	assert_int_equal(found, 5);
	for (found = 0; next_row(&at, row);)
		found++;
	assert_int_equal(found, 1 + 5);
}

/* --- memory --------------------------------------------------------------- */

static void has(const char *fmt, u64 a, u64 b)
{
	char text[128];

	snprintf(text, sizeof(text), fmt, a, b);
	(void)section("CPUID");
	if (!strstr(docs, text))
		fail_msg("docs/guests.md does not say \"%s\"", text);
}

static void memory_map(void **state)
{
	struct guest_map_entry map[GUEST_MAP_ENTRIES];

	(void)state;
	assert_int_equal(guest_memory_map(8UL << 30, map), 4);
	has("    0          - 0x%lx        usable", map[0].len - 1, 0);
	has("    0x%lx    - 0x%lx        reserved", map[1].base, map[1].base + map[1].len - 1);
	has("    0x%lx   - mem - 1        usable, up to 3 GiB", map[2].base, 0);
	assert_int_equal(map[2].base + map[2].len, 3UL << 30);
	assert_int_equal(map[3].base, 4UL << 30);
	has("from 0x%lx to 0x%lx", VPCI_WINDOW_START, VPCI_WINDOW_END - 1);
	has("from 0x%lx on; there is no I/O APIC", GUEST_RSDP, 0);
	has("vector (0x%lx, in real mode)", GUEST_RESET_VECTOR, 0);
	has("| 0x%lx-0x%lx | the sleep control", GUEST_SLEEP_CONTROL, GUEST_RESET);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cpuid_leaves),
		cmocka_unit_test(model_specific_registers),
		cmocka_unit_test(acpi_tables),
		cmocka_unit_test(memory_map),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
