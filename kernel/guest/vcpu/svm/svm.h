/* What the files of the SVM back end share. */
#pragma once

#include <kernel/guest/memory/nested.h>
#include <kernel/guest/vcpu/svm/vmcb.h>
#include <kernel/guest/vcpu/vcpu.h>

struct svm_vcpu {
	struct vmcb *vmcb;
	u64 asid_generation; /* of its CPU's ASIDs; another value: it needs a new one, and so has nothing in the TLB */
	u64 event; /* to be injected at the next entry: an exception, or what an exit interrupted; EVENTINJ's format */
	int offered; /* the vector in V_IRQ; -1: none */
	bool nmi_masked; /* between an NMI's injection and the guest's IRET */
};

void npt_init(void);
/* The MSR permission map (15.11) and the I/O permission map (15.10.1), shared by all guests. */
int svm_maps_init(void);
paddr_t svm_msrpm(void);
paddr_t svm_iopm(void);

const char *svm_exit_name(u32 code);

/* run.asm */
void svm_world_switch(u64 *reg, paddr_t guest_vmcb, paddr_t host_vmcb);
