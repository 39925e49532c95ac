/* The FPU, SSE and AVX state. The hypervisor uses none of it, so a guest's stays in the registers
 * until another vCPU is loaded on the same CPU. */
#pragma once

#include <kernel/lib/compiler.h>

struct vcpu;

/* -ENOMEM. The area holds nothing yet: fpu_reset(). */
int __must_check fpu_create(struct vcpu *v);
/* The state after reset, for a vCPU whose state is in no CPU's registers. */
void fpu_reset(struct vcpu *v);
void fpu_destroy(struct vcpu *v);
/* Save what is in the registers as `from`'s (NULL: nobody's), load `to`'s. */
void fpu_switch(struct vcpu *from, struct vcpu *to);
