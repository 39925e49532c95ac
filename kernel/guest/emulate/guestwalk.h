/* Walks a guest's own page tables in software (SDM vol. 3, chapter 4), to emulate its
 * instructions. */
#pragma once

#include <kernel/guest/vcpu/vcpu.h>

#define WALK_WRITE 1u
#define WALK_USER 2u
#define WALK_FETCH 4u

/* Translate a linear address for an access (WALK_*), and set accessed and dirty bits as the CPU
 * would. -EFAULT: the guest's tables do not allow it; *error is the page fault's error code (SDM
 * vol. 3, 4.7), and no exception has been injected. On the vCPU's own CPU, in an exit. */
int __must_check guest_walk(struct vcpu *v, u64 linear, u32 access, gpaddr_t *gpa, u32 *error);
