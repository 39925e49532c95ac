/* AMD SVM: definitions shared by the files of this back end. APM volume 2, chapter 15. */
#pragma once

#include <kernel/guest/vcpu/backend.h>
#include <kernel/guest/vcpu/svm/vmcb.h>
#include <kernel/guest/vcpu/vcpu.h>

/* The data of a CPU: cpu.arch. */
struct svm_cpu {
	paddr_t host; /* VMCB with the host's state for VMLOAD and VMSAVE */
	paddr_t save_area;
	u64 asid_generation;
	u32 next_asid, nr_asids;
};

/* A single step of Weir's own: svm/nmi.c. */
struct svm_step {
	bool active; /* between an entry and its exit */
	bool own_tf; /* the guest single-steps this instruction too */
	bool loads_flags; /* the instruction sets RFLAGS.TF itself */
	u64 dr6; /* as it was before */
	gpaddr_t task_flags; /* where the instruction stores the flags; ~0: nowhere */
};

/* The data of a vCPU: vcpu.arch. */
struct svm_vcpu {
	struct vmcb *vmcb;
	/* The asid_generation of the CPU that assigned the ASID. If it differs from the present one
	 * of this CPU, or is 0, the vCPU needs a new ASID: svm/asid.c. */
	u64 asid_generation;
	/* The event to inject at the next entry, in the format of EVENTINJ: an exception, or an
	 * event that an exit interrupted. */
	u64 event;
	int offered; /* the vector in V_IRQ; -1: none */
	bool iret_begun; /* an IRET that will unmask NMIs is the next instruction */
	struct svm_step step;
};

static inline struct vmcb *svm_vmcb(const struct vcpu *v)
{
	return ((const struct svm_vcpu *)v->arch)->vmcb;
}

extern const struct vcpu_backend svm_backend;

/* Optional features that the SVM of all CPUs has; cleared at boot by each CPU without. */
struct svm_features {
	bool next_rip; /* an exit says where the next instruction is */
	bool decode_assists; /* ... and what the operands of the instruction are (15.8) */
};
extern struct svm_features svm_features;
