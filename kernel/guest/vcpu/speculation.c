/* Indirect branch control: AMD, "Software techniques for managing speculation" and APM vol. 2,
 * 3.1.7; Intel, "Branch history injection" and SDM vol. 4, IA32_SPEC_CTRL. */
#include <kernel/guest/vcpu/speculation.h>

#include <kernel/core/cpu.h>
#include <kernel/core/log.h>
#include <kernel/x86/control.h>
#include <kernel/x86/cpuid.h>
#include <kernel/x86/msr.h>

bool speculation_fill_rsb;

static bool off;
static bool has_ibpb[MAX_CPUS]; /* by id: CPUs may differ */

struct offers {
	bool auto_ibrs, ibpb;
	u64 spec_ctrl; /* bits to set once and keep */
};

static struct offers look(void)
{
	u32 last = cpuid(0, 0).eax, last_extended = cpuid(CPUID_EXTENDED, 0).eax;
	struct cpuid seven = { 0, 0, 0, 0 }, amd = seven;
	struct offers o = { false, false, 0 };

	if (last >= 7)
		seven = cpuid(7, 0);
	if (last_extended >= 0x80000008)
		amd = cpuid(0x80000008, 0);
	if (last_extended >= 0x80000021)
		o.auto_ibrs = cpuid(0x80000021, 0).eax & CPUID80000021_EAX_AUTO_IBRS;
	o.ibpb = seven.edx & CPUID7_EDX_IBRS_IBPB || amd.ebx & CPUID80000008_EBX_IBPB;
	if (seven.edx & CPUID7_EDX_ARCH_CAPABILITIES && seven.edx & CPUID7_EDX_IBRS_IBPB &&
	    rdmsr(MSR_ARCH_CAPABILITIES) & ARCH_CAPABILITIES_IBRS_ALL)
		o.spec_ctrl |= SPEC_CTRL_IBRS;
	if (!o.auto_ibrs && amd.ebx & CPUID80000008_EBX_IBRS &&
	    amd.ebx & CPUID80000008_EBX_IBRS_ALWAYS_ON)
		o.spec_ctrl |= SPEC_CTRL_IBRS;
	if (amd.ebx & CPUID80000008_EBX_STIBP && amd.ebx & CPUID80000008_EBX_STIBP_ALWAYS_ON)
		o.spec_ctrl |= SPEC_CTRL_STIBP;
	return o;
}

void speculation_off(void)
{
	off = true;
}

void speculation_cpu_init(void)
{
	u32 id = this_cpu()->id;
	struct offers o;

	if (off) {
		if (!id)
			log_warn("cpu: mitigations=off: guests can read each other's memory by "
				 "speculation");
		return;
	}
	o = look();
	if (o.auto_ibrs)
		wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_AIBRSE);
	if (o.spec_ctrl)
		wrmsr(MSR_SPEC_CTRL, rdmsr(MSR_SPEC_CTRL) | o.spec_ctrl);
	has_ibpb[id] = o.ibpb;
	/* Automatic IBRS clears the return stack at each exit by itself. */
	if (!o.auto_ibrs)
		speculation_fill_rsb = true;
	if (!id)
		log_info("cpu: against speculation: %s, %s, %s",
			 o.auto_ibrs		      ? "automatic IBRS" :
			 o.spec_ctrl & SPEC_CTRL_IBRS ? "IBRS" :
							"no IBRS here",
			 o.ibpb ? "IBPB between domains" : "no IBPB here",
			 o.spec_ctrl & SPEC_CTRL_STIBP ? "STIBP" : "no STIBP here");
}

void speculation_change_domain(void)
{
	if (has_ibpb[this_cpu()->id])
		wrmsr(MSR_PRED_CMD, PRED_CMD_IBPB);
}
