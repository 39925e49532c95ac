/* Walks a guest's own page tables in software (SDM vol. 3, chapter 4), to emulate its
 * instructions. */
#pragma once

#include <kernel/guest/vcpu/backend.h>

#define WALK_WRITE 1u
#define WALK_USER 2u
#define WALK_FETCH 4u

/* What a walk needs: the vCPU and its mode. */
struct guest_view {
	struct vcpu *v;
	struct vcpu_mode mode;
};

/* How v sees its memory now. On the vCPU's own CPU, in an exit. */
static inline void guest_view(struct guest_view *g, struct vcpu *v)
{
	g->v = v;
	vcpu_backend->mode(v, &g->mode);
}

/* Translate a linear address for an access (WALK_*), and set accessed and dirty bits as the CPU
 * would. -EFAULT: the guest's tables do not allow it; *error is the page fault's error code (SDM
 * vol. 3, 4.7), and no exception has been injected. On the vCPU's own CPU, in an exit, between
 * guest_ram_begin() and guest_ram_end() of its RAM. */
int __must_check guest_walk(struct guest_view *g, u64 linear, u32 access, gpaddr_t *gpa,
			    u32 *error);
