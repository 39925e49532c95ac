/* AMD SVM: what the files of this back end share. APM volume 2, chapter 15. */
#pragma once

#include <kernel/guest/vcpu/backend.h>
#include <kernel/guest/vcpu/svm/vmcb.h>
#include <kernel/guest/vcpu/vcpu.h>

/* What a CPU has of its own: struct cpu's arch. */
struct svm_cpu {
	struct vmcb *host; /* the host's side of VMLOAD and VMSAVE */
	paddr_t save_area;
	u64 asid_generation;
	u32 next_asid, nr_asids;
};

/* What a vCPU has: struct vcpu's arch. */
struct svm_vcpu {
	struct vmcb *vmcb;
	/* Of its CPU's ASIDs. If it differs, the vCPU needs a new ASID, and so has nothing in the
	 * TLB. */
	u64 asid_generation;
	/* To be injected at the next entry, in EVENTINJ's format: an exception, or what an exit
	 * interrupted. */
	u64 event;
	int offered; /* the vector in V_IRQ; -1: none */
	bool nmi_masked; /* between an NMI's injection and the guest's IRET */
};

static inline struct vmcb *svm_vmcb(const struct vcpu *v)
{
	return ((const struct svm_vcpu *)v->arch)->vmcb;
}

extern const struct vcpu_backend svm_backend;

/* What this machine's SVM can do besides; set at boot. */
struct svm_features {
	bool next_rip; /* an exit says where the next instruction is */
	bool decode_assists; /* ... and what the instruction's operands are (15.8) */
};
extern struct svm_features svm_features;
