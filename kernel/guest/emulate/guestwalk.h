/* A guest's own page tables, walked in software (SDM vol. 3, chapter 4): needed where an
 * instruction is emulated. */
#pragma once

#include <kernel/guest/vcpu/vcpu.h>

#define WALK_WRITE 1u
#define WALK_USER 2u
#define WALK_FETCH 4u

/* Translate a linear address. 0; -EFAULT: the guest's tables do not allow it, *error is the page
 * fault's error code (SDM vol. 3, 4.7), nothing was injected. Accessed and dirty bits are set as
 * the CPU would. */
int __must_check guest_walk(struct vcpu *v, u64 linear, u32 access, gpaddr_t *gpa, u32 *error);
