/* The FPU, SSE and AVX state. The hypervisor does not use these registers, so a vCPU's state stays
 * in them until another vCPU is loaded on the same CPU. */
#pragma once

#include <kernel/lib/compiler.h>

struct vcpu;

/* Allocate the save area. It has no contents before fpu_reset(). -ENOMEM. */
int __must_check fpu_create(struct vcpu *v);
/* Set the state after reset. The vCPU's state must not be in a CPU's registers. */
void fpu_reset(struct vcpu *v);
/* Free the save area, if there is one. */
void fpu_destroy(struct vcpu *v);
/* Save the registers for `from` (NULL: do not save them), and load those of `to`. */
void fpu_switch(struct vcpu *from, struct vcpu *to);
