/* Which linear addresses are canonical, with four and with five levels of tables (SDM vol. 1,
 * 3.3.7.1). The walk of the tables is a stand-in that finds every page.
 * sources: kernel/guest/emulate/guestlinear.c
 */
#include <tests/unit/test.h>

#include <kernel/guest/emulate/guestlinear.h>
#include <kernel/guest/emulate/guestwalk.h>
#include <kernel/guest/vcpu/inject.h>
#include <kernel/guest/vcpu/vm.h>

const struct vcpu_backend *vcpu_backend;
static struct vm vm;
static struct vcpu v = { .vm = &vm };
static u32 refused;

int guest_walk(struct guest_view *g, u64 linear, u32 access, gpaddr_t *gpa, u32 *error)
{
	(void)g;
	(void)access;
	(void)error;
	*gpa = linear;
	return 0;
}

bool guest_ram_find(struct guest_ram *r, gpaddr_t gpa)
{
	(void)r;
	(void)gpa;
	return false;
}

void inject_gp(struct vcpu *vcpu)
{
	assert_ptr_equal(vcpu, &v);
	refused++;
}

void inject_pf(struct vcpu *vcpu, u64 linear, u32 error)
{
	(void)vcpu;
	(void)linear;
	(void)error;
	fail_msg("the walk finds every page");
}

static bool translates(u64 efer, u64 cr4, u64 linear)
{
	struct guest_view g = { .v = &v, .mode = { .efer = efer, .cr4 = cr4 } };
	gpaddr_t gpa = 0;
	u32 before = refused;

	if (guest_translate(&g, linear, false, &gpa)) {
		assert_int_equal(refused, before + 1);
		return false;
	}
	assert_int_equal(refused, before);
	assert_true(gpa == linear);
	return true;
}

static void canonical_addresses(void **state)
{
	static const struct {
		u64 linear;
		bool four_levels, five_levels;
	} cases[] = {
		{ 0, true, true },
		{ 0x00007fffffffffff, true, true },
		{ 0x0000800000000000, false, true },
		{ 0x00ffffffffffffff, false, true },
		{ 0x0100000000000000, false, false },
		{ 0x7fffffffffffffff, false, false },
		{ 0x8000000000000000, false, false },
		{ 0xfeffffffffffffff, false, false },
		{ 0xff00000000000000, false, true },
		{ 0xffff7fffffffffff, false, true },
		{ 0xffff800000000000, true, true },
		{ 0xffffffffffffffff, true, true },
	};

	(void)state;
	spin_init(&vm.memory.nested.lock, LOCK_NESTED);
	for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
		u64 linear = cases[i].linear;

		assert_int_equal(translates(EFER_LMA, 0, linear), cases[i].four_levels);
		assert_int_equal(translates(EFER_LMA, CR4_LA57, linear), cases[i].five_levels);
		assert_true(translates(0, 0, linear));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(canonical_addresses) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
