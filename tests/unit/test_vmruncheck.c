/* Why VMRUN refuses a state: each rule by itself; which events an instruction repeats.
 * sources: kernel/guest/vcpu/svm/vmruncheck.c
 */
#include "test.h"

#include <kernel/guest/vcpu/svm/vmruncheck.h>
#include <kernel/x86/control.h>

/* A guest in 64-bit mode. */
static struct vmcb good(void)
{
	return (struct vmcb){
		.efer = EFER_SVME | EFER_LME | EFER_LMA,
		.cr0 = CR0_PG | CR0_PE | CR0_ET,
		.cr3 = 0x1000,
		.cr4 = CR4_PAE,
		.cs = { .attrib = 0xa9b & ~BIT(10) },
		.intercept_2 = INTERCEPT_VMRUN,
		.asid = 1,
	};
}

static void refused(const struct vmcb *c, const char *why)
{
	const char *said = svm_why_refused(c);

	if (!said || strcmp(said, why))
		fail_msg("\"%s\", not \"%s\"", said ? said : "(nothing)", why);
}

#define BREAK(change, why)                                                                         \
	do {                                                                                       \
		struct vmcb c = good();                                                            \
                                                                                                   \
		c.change;                                                                          \
		refused(&c, why);                                                                  \
	} while (0)

static void each_rule(void **state)
{
	(void)state;
	BREAK(efer &= ~EFER_SVME, "EFER.SVME is 0");
	BREAK(cr0 |= CR0_NW, "CR0.NW is 1, but CR0.CD is 0");
	BREAK(cr0 |= 1UL << 32, "bits 63:32 of CR0 are not 0");
	BREAK(cr3 |= 1UL << 60, "reserved bits of CR3 are not 0");
	BREAK(cr4 |= 1UL << 40, "bits 63:32 of CR4 are not 0");
	BREAK(dr6 = 1UL << 63, "bits 63:32 of DR6 are not 0");
	BREAK(dr7 = 1UL << 32, "bits 63:32 of DR7 are not 0");
	BREAK(cr4 = 0, "EFER.LME and CR0.PG are 1, but CR4.PAE is 0");
	BREAK(cr0 &= ~CR0_PE, "EFER.LME and CR0.PG are 1, but CR0.PE is 0");
	BREAK(cs.attrib |= BIT(9) | BIT(10), "CS.L and CS.D are both 1 in long mode");
	BREAK(intercept_2 = 0, "VMRUN is not intercepted");
	BREAK(asid = 0, "the ASID is 0");
	BREAK(eventinj = EVENT_VALID | FIELD_PREP(EVENT_TYPE, 1UL), "the event to inject is none");
	BREAK(eventinj = EVENT_VALID | FIELD_PREP(EVENT_TYPE, EVENT_TYPE_EXCEPTION) | 2,
	      "the event to inject is none");
	BREAK(eventinj = EVENT_VALID | FIELD_PREP(EVENT_TYPE, EVENT_TYPE_EXCEPTION) | 32,
	      "the event to inject is none");
}

static void states_that_run(void **state)
{
	struct vmcb c = good();

	(void)state;
	assert_null(svm_why_refused(&c));
	c.cr0 |= CR0_NW | CR0_CD;
	c.eventinj = EVENT_VALID | FIELD_PREP(EVENT_TYPE, EVENT_TYPE_EXCEPTION) | 14;
	assert_null(svm_why_refused(&c));
	/* In real mode. */
	c.cr0 = CR0_ET;
	c.cr4 = 0;
	c.efer = EFER_SVME;
	assert_null(svm_why_refused(&c));
}

static void events_of_instructions(void **state)
{
	const u64 valid = EVENT_VALID;
	const u64 exception = valid | FIELD_PREP(EVENT_TYPE, EVENT_TYPE_EXCEPTION);

	(void)state;
	assert_true(event_is_of_instruction(valid | FIELD_PREP(EVENT_TYPE, EVENT_TYPE_SOFT_INT) |
					    0x80));
	assert_true(event_is_of_instruction(exception | EXC_BP));
	assert_true(event_is_of_instruction(exception | EXC_OF));
	assert_false(event_is_of_instruction(exception | EXC_DB));
	assert_false(event_is_of_instruction(exception | EXC_GP));
	/* Vectors that only exceptions of these instructions mean. */
	assert_false(
		event_is_of_instruction(valid | FIELD_PREP(EVENT_TYPE, EVENT_TYPE_INTR) | EXC_BP));
	assert_false(
		event_is_of_instruction(valid | FIELD_PREP(EVENT_TYPE, EVENT_TYPE_NMI) | EXC_NMI));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_rule),
		cmocka_unit_test(events_of_instructions),
		cmocka_unit_test(states_that_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
