/* Names of SVM's exit codes for the exit ring (APM volume 2, appendix C). */
#include <kernel/guest/vcpu/svm/exitname.h>

#include <kernel/guest/vcpu/svm/vmcb.h>

const char *svm_exit_name(u32 code)
{
	switch (code) {
	case VMEXIT_CR4_WRITE:
		return "CR4 write";
	case VMEXIT_EXCP_DB:
		return "#DB";
	case VMEXIT_EXCP_AC:
		return "#AC";
	case VMEXIT_EXCP_MC:
		return "#MC";
	case VMEXIT_INTR:
		return "INTR";
	case VMEXIT_NMI:
		return "NMI";
	case VMEXIT_CPUID:
		return "CPUID";
	case VMEXIT_IRET:
		return "IRET";
	case VMEXIT_HLT:
		return "HLT";
	case VMEXIT_IOIO:
		return "IOIO";
	case VMEXIT_MSR:
		return "MSR";
	case VMEXIT_SHUTDOWN:
		return "SHUTDOWN";
	case VMEXIT_VMMCALL:
		return "VMMCALL";
	case VMEXIT_XSETBV:
		return "XSETBV";
	case VMEXIT_NPF:
		return "NPF";
	case (u32)VMEXIT_INVALID:
		return "INVALID";
	default:
		return "?";
	}
}
