/* AMD SVM: detects it, and enables it on each CPU. APM volume 2, chapter 15. */
#include <kernel/guest/vcpu/svm/svm.h>

#include <kernel/core/cpu.h>
#include <kernel/core/log.h>
#include <kernel/core/paging.h>
#include <kernel/guest/vcpu/exitring.h>
#include <kernel/guest/vcpu/svm/asid.h>
#include <kernel/guest/vcpu/svm/enter.h>
#include <kernel/guest/vcpu/svm/exitname.h>
#include <kernel/guest/vcpu/svm/maps.h>
#include <kernel/guest/vcpu/svm/npt.h>
#include <kernel/guest/vcpu/svm/state.h>
#include <kernel/guest/vcpu/svm/statelog.h>
#include <kernel/lib/errno.h>
#include <kernel/mm/alloc.h>
#include <kernel/x86/control.h>
#include <kernel/x86/cpuid.h>
#include <kernel/x86/msr.h>

#define CPUID_SVM 0x8000000a

struct svm_features svm_features = { true, true };

/* Each CPU looks for itself: firmware can switch SVM off on some. VM_CR exists wherever CPUID
 * reports SVM (15.4). */
static const char *svm_why_unsupported(void)
{
	struct cpuid features;

	if (cpuid(0x80000000, 0).eax < CPUID_SVM ||
	    !(cpuid(0x80000001, 0).ecx & CPUID80000001_ECX_SVM))
		return cpuid(1, 0).ecx & CPUID1_ECX_VMX ?
			       "its CPU has Intel's VMX, and Weir runs guests on AMD's SVM only" :
			       "its CPU offers neither SVM nor VMX: enable virtualisation in the "
			       "firmware's setup, or give QEMU a CPU model with +svm,+npt";
	if (rdmsr(MSR_VM_CR) & MSR_VM_CR_SVMDIS)
		return "SVM is switched off by the firmware: enable virtualisation in its setup";
	features = cpuid(CPUID_SVM, 0);
	if (!(features.edx & CPUID8000000A_EDX_NP))
		return "its CPU has SVM without nested paging";
	if (!(features.edx & CPUID8000000A_EDX_NRIPS))
		svm_features.next_rip = false;
	if (!(features.edx & CPUID8000000A_EDX_DECODE_ASSISTS))
		svm_features.decode_assists = false;
	return NULL;
}

static void vmsave(paddr_t pa)
{
	__asm__ volatile("vmsave %0" ::"a"(pa) : "memory");
}

static int svm_cpu_init(void)
{
	struct svm_cpu *c = kzalloc(sizeof(*c));
	void *save = alloc_page(), *host = alloc_page();

	if (!c || !save || !host || svm_maps_init())
		return -ENOMEM;
	npt_init();

	c->save_area = virt_to_phys(save);
	c->host = virt_to_phys(host);
	c->nr_asids = cpuid(CPUID_SVM, 0).ebx;
	c->asid_generation = svm_first_asid_generation(this_cpu()->id);
	c->next_asid = 1;
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SVME);
	wrmsr(MSR_VM_HSAVE_PA, c->save_area);
	/* From here on, FS, GS, TR, LDTR and the system-call MSRs of this CPU never change. */
	vmsave(c->host);
	this_cpu()->arch = c;
	exit_reason_name = svm_exit_name;
	return 0;
}

const struct vcpu_backend svm_backend = {
	.name = "AMD SVM",
	.why_unsupported = svm_why_unsupported,
	.cpu_init = svm_cpu_init,
	.create = svm_create,
	.destroy = svm_destroy,
	.reset = svm_reset,
	.set_entry = svm_set_entry,
	.set_sipi = svm_set_sipi,
	.enter = svm_enter,
	.mode = svm_mode,
	.segment_base = svm_segment_base,
	.set_rip = svm_set_rip,
	.has_breakpoints = svm_has_breakpoints,
	.accessed = svm_accessed,
	.inject = svm_inject,
	.set_cr2 = svm_set_cr2,
	.write_cr4 = svm_write_cr4,
	.read_msr = svm_read_msr,
	.write_msr = svm_write_msr,
	.tsc_offset = svm_tsc_offset,
	.log_state = svm_log_state,
};
