/* sources: */
/* Switching FPU states: CPUID, which costs thousands of cycles under another hypervisor, is not
 * executed for it. */
#include "test.h"

#include <kernel/core/cpu.h>
#include <kernel/guest/quirks/emulator.h>
#include <kernel/guest/vcpu/cpuid.h>
#include <kernel/guest/vcpu/fpu.h>
#include <kernel/guest/vcpu/vcpu.h>
#include <kernel/mm/alloc.h>
#include <kernel/x86/control.h>

static struct cpu here;
static u64 xcr0, most, features;

#define this_cpu() (&here)
#define write_xcr0(value) (xcr0 = (value), most |= xcr0)
#include <kernel/guest/vcpu/fpu.c>

u64 policy_xcr0(void)
{
	return features;
}

/* The machine of the test may have larger states than the guests of Weir. */
void *alloc_page(void)
{
	void *p = aligned_alloc(PAGE_SIZE, 8 * PAGE_SIZE);

	memset(p, 0, 8 * PAGE_SIZE);
	return p;
}

void free_page(void *p)
{
	free(p);
}

bool emulator_found;

void emulator_note_initial_x87(void *xsave_area)
{
	(void)xsave_area;
}

/* The state that is saved and loaded is the one that all CPUs have. */
static void one_format(void **state)
{
	struct vcpu v[2] = { 0 };

	(void)state;
	for (u32 i = 0; i < 2; i++) {
		assert_int_equal(fpu_create(&v[i]), 0);
		fpu_reset(&v[i]);
	}
	v[1].xcr0 = XCR0_X87 | XCR0_SSE;
	for (here.id = 0; here.id < 3; here.id++) {
		features = XCR0_X87 | XCR0_SSE | (here.id == 1 ? XCR0_AVX : 0);
		most = 0;
		fpu_switch(NULL, &v[0]);
		assert_int_equal(xcr0, XCR0_X87);
		fpu_switch(&v[0], &v[1]);
		assert_int_equal(xcr0, XCR0_X87 | XCR0_SSE);
		fpu_switch(&v[1], &v[0]);
		assert_int_equal(most, features);
	}
	for (u32 i = 0; i < 2; i++)
		fpu_destroy(&v[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_format),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
