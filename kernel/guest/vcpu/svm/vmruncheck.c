/* See vmruncheck.h. */
#include <kernel/guest/vcpu/svm/vmruncheck.h>

#include <kernel/x86/control.h>
#include <kernel/x86/exceptions.h>

#define CR3_RESERVED MASK(63, 52)

/* 15.20: four types, and exceptions have vectors below 32 but not the NMI's. */
static bool is_event_valid(u64 event)
{
	u64 vector = event & 0xff;

	if (!(event & EVENT_VALID))
		return true;
	switch (FIELD_GET(EVENT_TYPE, event)) {
	case EVENT_TYPE_INTR:
	case EVENT_TYPE_NMI:
	case EVENT_TYPE_SOFT_INT:
		return true;
	case EVENT_TYPE_EXCEPTION:
		return vector < 32 && vector != EXC_NMI;
	default:
		return false;
	}
}

const char *svm_why_refused(const struct vmcb *c)
{
	bool long_mode = (c->efer & EFER_LME) && (c->cr0 & CR0_PG);
	const struct {
		bool broken;
		const char *rule;
	} rules[] = {
		{ !(c->efer & EFER_SVME), "EFER.SVME is 0" },
		{ (c->cr0 & CR0_NW) && !(c->cr0 & CR0_CD), "CR0.NW is 1, but CR0.CD is 0" },
		{ c->cr0 >> 32, "bits 63:32 of CR0 are not 0" },
		{ long_mode && (c->cr3 & CR3_RESERVED), "reserved bits of CR3 are not 0" },
		{ c->cr4 >> 32, "bits 63:32 of CR4 are not 0" },
		{ c->dr6 >> 32, "bits 63:32 of DR6 are not 0" },
		{ c->dr7 >> 32, "bits 63:32 of DR7 are not 0" },
		{ long_mode && !(c->cr4 & CR4_PAE), "EFER.LME and CR0.PG are 1, but CR4.PAE is 0" },
		{ long_mode && !(c->cr0 & CR0_PE), "EFER.LME and CR0.PG are 1, but CR0.PE is 0" },
		{ long_mode && (c->cs.attrib & SEGMENT_L) && (c->cs.attrib & SEGMENT_D),
		  "CS.L and CS.D are both 1 in long mode" },
		{ !(c->intercept_2 & INTERCEPT_VMRUN), "VMRUN is not intercepted" },
		{ !c->asid, "the ASID is 0" },
		{ !is_event_valid(c->eventinj), "the event to inject is none" },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(rules); i++)
		if (rules[i].broken)
			return rules[i].rule;
	return NULL;
}
