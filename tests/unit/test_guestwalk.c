/* Walks of a guest's tables of four levels, with random rights, accesses and modes, against the
 * rules of the manual (SDM vol. 3, 4.6 and 4.7), written down one by one.
 * sources: kernel/guest/emulate/guestwalk.c
 */
#include <tests/unit/test.h>

#include <kernel/guest/emulate/guestwalk.h>
#include <kernel/guest/quirks/emulator.h>
#include <kernel/lib/errno.h>
#include <kernel/x86/control.h>
#include <kernel/x86/exceptions.h>
#include <kernel/x86/pagetable.h>

#define STEPS 200000u
#define LEVELS 4u
#define LINEAR 0x7f8123456789UL
#define PAGE 0x5555540000000UL

bool emulator_found;

/* The table of level n is page n. */
static u64 ram[LEVELS + 1][512] __aligned(PAGE_SIZE);

bool guest_ram_find(struct guest_ram *r, gpaddr_t gpa)
{
	if (gpa >= sizeof(ram))
		return false;
	*guest_ram_leaf(r, gpa) = (struct guest_ram_leaf){ 0, sizeof(ram), (char *)ram };
	return true;
}

static u64 *entry_of(unsigned int level)
{
	return &ram[level][LINEAR >> (3 + 9 * level) & 511];
}

static u64 one_in(int n)
{
	return rand() % n ? 0 : ~0UL;
}

static u64 random_rights(void)
{
	return (PTE_W & ~one_in(4)) | (PTE_U & ~one_in(4)) | (PTE_NX & one_in(5)) |
	       (PTE_A & ~one_in(2)) | (PTE_D & ~one_in(2));
}

/* Fill the tables down to a leaf of this level. */
static void build(unsigned int leaf)
{
	for (unsigned int level = LEVELS; level > leaf; level--)
		*entry_of(level) = (level - 1) * PAGE_SIZE | PTE_P | random_rights();
	*entry_of(leaf) = PAGE | PTE_P | (leaf > 1 ? PTE_PS : 0) | random_rights();
	if (!(rand() % 20))
		*entry_of(leaf + (unsigned int)rand() % (LEVELS - leaf + 1)) &= ~PTE_P;
}

/* 0, or the error code; ~0: none. */
static u32 expected_error(const struct guest_view *g, unsigned int leaf, u32 access)
{
	u32 error = (access & WALK_WRITE ? PF_WRITE : 0) | (access & WALK_USER ? PF_USER : 0);
	bool w = true, u = true, nx = false;

	if ((access & WALK_FETCH) && ((g->mode.efer & EFER_NXE) || (g->mode.cr4 & CR4_SMEP)))
		error |= PF_FETCH;
	for (unsigned int level = LEVELS; level >= leaf; level--) {
		u64 e = *entry_of(level);

		if (!(e & PTE_P))
			return error;
		if ((e & PTE_NX) && !(g->mode.efer & EFER_NXE))
			return error | PF_PRESENT | PF_RESERVED;
		w &= !!(e & PTE_W);
		u &= !!(e & PTE_U);
		nx |= !!(e & PTE_NX);
	}
	error |= PF_PRESENT;
	if ((access & WALK_FETCH) && nx)
		return error;
	if ((access & WALK_USER) && !u)
		return error;
	if ((access & WALK_WRITE) && !w && ((access & WALK_USER) || (g->mode.cr0 & CR0_WP)))
		return error;
	if ((access & WALK_USER) || !u)
		return ~0u;
	if (access & WALK_FETCH)
		return g->mode.cr4 & CR4_SMEP ? error : ~0u;
	return (g->mode.cr4 & CR4_SMAP) && !(g->v->rflags & RFLAGS_AC) ? error : ~0u;
}

static void random_walks(void **state)
{
	static const u32 accesses[] = { 0, WALK_WRITE, WALK_FETCH };
	struct vcpu v = { 0 };
	u32 faults = 0;

	(void)state;
	srand(test_seed());
	for (u32 i = 0; i < STEPS; i++) {
		unsigned int leaf = 1 + (unsigned int)rand() % 3;
		u32 access = accesses[rand() % 3] | (rand() % 2 ? WALK_USER : 0), expected, error;
		u64 offset = (1UL << (3 + 9 * leaf)) - 1, before[LEVELS + 1];
		struct guest_view g = { .v = &v };
		gpaddr_t gpa;
		int ret;

		build(leaf);
		v.rflags = RFLAGS_AC & one_in(2);
		g.mode.cr0 = CR0_PG | (CR0_WP & one_in(2));
		g.mode.cr3 = LEVELS * PAGE_SIZE;
		g.mode.cr4 = CR4_PAE | (CR4_SMEP & one_in(2)) | (CR4_SMAP & one_in(2));
		g.mode.efer = EFER_LMA | (EFER_NXE & ~one_in(4));
		for (unsigned int level = leaf; level <= LEVELS; level++)
			before[level] = *entry_of(level);

		expected = expected_error(&g, leaf, access);
		ret = guest_walk(&g, LINEAR, access, &gpa, &error);
		assert_int_equal(ret, expected == ~0u ? 0 : -EFAULT);
		if (ret) {
			faults++;
			assert_int_equal(error, expected);
		} else {
			assert_int_equal(gpa, PAGE | (LINEAR & offset));
		}
		for (unsigned int level = leaf; level <= LEVELS; level++) {
			u64 set = PTE_A | (level == leaf && (access & WALK_WRITE) ? PTE_D : 0);

			assert_int_equal(*entry_of(level), before[level] | (ret ? 0 : set));
		}
	}
	assert_in_range(faults, STEPS / 10, STEPS / 10 * 9);
}

static void odd_tables(void **state)
{
	struct vcpu v = { 0 };
	struct guest_view g = { .v = &v };
	gpaddr_t gpa;
	u32 error;

	(void)state;
	g.mode.cr0 = CR0_PG;
	g.mode.cr4 = CR4_PAE;
	g.mode.efer = EFER_LMA;
	g.mode.cr3 = 1UL << 40; /* no RAM */
	assert_int_equal(guest_walk(&g, LINEAR, 0, &gpa, &error), -EFAULT);
	assert_int_equal(error, PF_PRESENT | PF_RESERVED);
	g.mode.cr3 = LEVELS * PAGE_SIZE;
	build(2);
	*entry_of(4) |= PTE_P | PTE_PS;
	assert_int_equal(guest_walk(&g, LINEAR, 0, &gpa, &error), -EFAULT);
	assert_int_equal(error, PF_PRESENT | PF_RESERVED);
	g.mode.cr0 = 0;
	assert_int_equal(guest_walk(&g, LINEAR, 0, &gpa, &error), 0);
	assert_int_equal(gpa, (u32)LINEAR);
}

/* The top level of PAE paging has no rights, and no accessed bit, unless the emulator sets one. */
static void top_level_of_pae(void **state)
{
	const u64 linear = (u32)LINEAR;
	const u64 wrong[] = { PTE_W, PTE_U, PTE_A, PTE_D, PTE_PS, BIT(8), PTE_NX };
	u64 *top = &ram[3][linear >> 30];
	struct vcpu v = { 0 };
	struct guest_view g = { .v = &v };
	gpaddr_t gpa;
	u32 error;

	(void)state;
	g.mode.cr0 = CR0_PG | CR0_WP;
	g.mode.cr3 = 3 * PAGE_SIZE;
	g.mode.cr4 = CR4_PAE;
	g.mode.efer = EFER_NXE;
	ram[2][linear >> 21 & 511] = PAGE | PTE_P | PTE_W | PTE_PS;
	*top = 2 * PAGE_SIZE | PTE_P;
	assert_int_equal(guest_walk(&g, linear, WALK_WRITE, &gpa, &error), 0);
	assert_int_equal(gpa, PAGE | (linear & ((1 << 21) - 1)));
	assert_int_equal(*top, 2 * PAGE_SIZE | PTE_P);
	for (unsigned int i = 0; i < 2 * ARRAY_SIZE(wrong); i++) {
		u64 bit = wrong[i / 2];

		emulator_found = i & 1;
		*top = 2 * PAGE_SIZE | PTE_P | bit;
		if (emulator_found && bit == PTE_A) {
			assert_int_equal(guest_walk(&g, linear, WALK_WRITE, &gpa, &error), 0);
			continue;
		}
		assert_int_equal(guest_walk(&g, linear, WALK_WRITE, &gpa, &error), -EFAULT);
		assert_int_equal(error, PF_PRESENT | PF_WRITE | PF_RESERVED);
	}
	emulator_found = false;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_walks),
		cmocka_unit_test(odd_tables),
		cmocka_unit_test(top_level_of_pae),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
