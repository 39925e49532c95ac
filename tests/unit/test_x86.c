/* sources: */
/* Assembly and C agree on the processor: compares each line of kernel/x86/constants.inc with the C
 * constant of the same name. */
#include "test.h"

#include <kernel/lib/types.h>
#include <kernel/x86/apic.h>
#include <kernel/x86/control.h>
#include <kernel/x86/cpuid.h>
#include <kernel/x86/debug.h>
#include <kernel/x86/exceptions.h>
#include <kernel/x86/msr.h>
#include <kernel/x86/pagetable.h>
#include <kernel/x86/segment.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONSTANT(name) { #name, name }

static const struct {
	const char *name;
	u64 value;
} constants[] = {
	CONSTANT(PAGE_SIZE),
	CONSTANT(CR0_PE),
	CONSTANT(CR0_MP),
	CONSTANT(CR0_TS),
	CONSTANT(CR0_NE),
	CONSTANT(CR0_WP),
	CONSTANT(CR0_PG),
	CONSTANT(CR4_DE),
	CONSTANT(CR4_PAE),
	CONSTANT(CR4_OSFXSR),
	CONSTANT(CR4_OSXSAVE),
	CONSTANT(EFER_LME),
	CONSTANT(EFER_NXE),
	CONSTANT(RFLAGS_TF),
	CONSTANT(RFLAGS_IF),
	CONSTANT(RFLAGS_RF),
	CONSTANT(RFLAGS_ID),
	CONSTANT(DR6_RESET),
	CONSTANT(DR6_BD),
	CONSTANT(DR6_BS),
	CONSTANT(DR7_RESET),
	CONSTANT(DR7_GD),
	CONSTANT(EXC_DE),
	CONSTANT(EXC_DB),
	CONSTANT(EXC_NMI),
	CONSTANT(EXC_BP),
	CONSTANT(EXC_OF),
	CONSTANT(EXC_UD),
	CONSTANT(EXC_DF),
	CONSTANT(EXC_GP),
	CONSTANT(EXC_PF),
	CONSTANT(APIC_TPR),
	CONSTANT(APIC_EOI),
	CONSTANT(APIC_ICR),
	CONSTANT(APIC_SELF_IPI),
	CONSTANT(ICR_NMI),
	CONSTANT(CPUID80000001_EDX_NX),
	CONSTANT(CPUID80000001_EDX_LM),
	CONSTANT(MSR_APIC_BASE),
	CONSTANT(MSR_X2APIC),
	CONSTANT(MSR_EFER),
	CONSTANT(PTE_P),
	CONSTANT(PTE_W),
	CONSTANT(PTE_U),
	CONSTANT(PTE_PWT),
	CONSTANT(PTE_PCD),
	CONSTANT(PTE_PS),
	CONSTANT(GDT_CODE64),
	CONSTANT(GDT_CODE32),
	CONSTANT(GDT_DATA),
};

/* "1 << 5", or a number. */
static u64 value_of(const char *text)
{
	char *end;
	u64 value = strtoul(text, &end, 0);
	const char *shift = strstr(end, "<<");

	return shift ? value << strtoul(shift + 2, NULL, 0) : value;
}

static void assembly_has_the_constants_of_c(void **state)
{
	FILE *f = fopen("kernel/x86/constants.inc", "r");
	char line[200], name[100], text[100];
	unsigned int seen = 0;

	(void)state;
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		unsigned int i = 0;

		if (sscanf(line, "%99s equ %99[^\n]", name, text) != 2)
			continue;
		while (i < ARRAY_SIZE(constants) && strcmp(constants[i].name, name))
			i++;
		if (i == ARRAY_SIZE(constants))
			fail_msg("%s is not compared with a C constant: add it to this test", name);
		if (constants[i].value != value_of(text))
			fail_msg("%s is 0x%lx in C, and 0x%lx in assembly", name,
				 constants[i].value, value_of(text));
		seen++;
	}
	fclose(f);
	assert_int_equal(seen, ARRAY_SIZE(constants));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(assembly_has_the_constants_of_c),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
