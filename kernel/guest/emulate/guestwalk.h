/* Walks a guest's own page tables in software (SDM vol. 3, chapter 4), to emulate its
 * instructions. */
#pragma once

#include <kernel/guest/memory/guestcopy.h>
#include <kernel/guest/vcpu/backend.h>

#define WALK_WRITE 1u
#define WALK_USER 2u
#define WALK_FETCH 4u

/* What a walk needs: the vCPU, its mode, and its RAM, whose lock is held. */
struct guest_view {
	const struct vcpu *v;
	struct vcpu_mode mode;
	struct guest_ram ram;
};

/* Translate a linear address for an access (WALK_*), and set accessed and dirty bits as the CPU
 * would. -EFAULT: the guest's tables do not allow it; *error is the page fault's error code (SDM
 * vol. 3, 4.7), and no exception has been injected. On the vCPU's own CPU, in an exit, between
 * guest_ram_begin() and guest_ram_end(). */
int __must_check guest_walk(struct guest_view *g, u64 linear, u32 access, gpaddr_t *gpa,
			    u32 *error);
