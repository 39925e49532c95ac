/* The state of a vCPU in its VMCB; see struct vcpu_backend for what each function does. */
#pragma once

#include <kernel/guest/vcpu/svm/svm.h>
#include <kernel/x86/control.h>
#include <kernel/x86/debug.h>

int __must_check svm_create(struct vcpu *v);
void svm_destroy(struct vcpu *v);
void svm_reset(struct vcpu *v);
void svm_set_entry(struct vcpu *v, const struct guest_entry *entry);
void svm_set_sipi(struct vcpu *v, u8 vector);

void svm_mode(const struct vcpu *v, struct vcpu_mode *m);
u64 svm_segment_base(const struct vcpu *v, enum guest_segment seg);
bool svm_set_rip(struct vcpu *v, u64 rip);
/* The rest of svm_set_rip_after_port(), if there may be traps. */
void svm_finish_port(struct vcpu *v, u64 rip, u32 port, u32 size);
bool svm_has_breakpoints(const struct vcpu *v);
void svm_accessed(struct vcpu *v, enum access_kind kind, u64 address, unsigned int size);
void svm_inject(struct vcpu *v, u8 vector, s64 error);
void svm_set_cr2(struct vcpu *v, u64 cr2);
void svm_write_cr4(struct vcpu *v, u64 cr4);
u64 svm_read_msr(const struct vcpu *v, u32 msr);
void svm_write_msr(struct vcpu *v, u32 msr, u64 value);
u64 svm_tsc_offset(const struct vcpu *v);

/* The instruction has been executed: end its interrupt shadow, and continue at rip. False: there
 * may be a single step, a breakpoint or another repetition; then RIP and RF are as before. */
static __always_inline bool svm_set_rip_without_traps(struct vcpu *v, u64 rip)
{
	struct vmcb *c = svm_vmcb(v);

	c->interrupt_shadow = 0;
	if (unlikely((v->rflags & (RFLAGS_TF | RFLAGS_RF)) || (c->dr7 & DR7_ANY_ENABLED) ||
		     rip == v->rip))
		return false;
	v->rip = rip;
	return true;
}

/* The same after IN or OUT, whose port may have a breakpoint. */
static __always_inline void svm_set_rip_after_port(struct vcpu *v, u64 rip, u32 port, u32 size)
{
	if (!svm_set_rip_without_traps(v, rip))
		svm_finish_port(v, rip, port, size);
}
