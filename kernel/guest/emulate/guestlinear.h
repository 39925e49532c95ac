/* Accesses to a guest's linear memory on behalf of its instructions, with the same permission
 * checks and faults. On the vCPU's own CPU, in an exit. */
#pragma once

#include <kernel/guest/emulate/guestwalk.h>
#include <kernel/guest/vcpu/backend.h>

/* Translate a linear address for a data access with the current privilege level. -EFAULT: it
 * faults; the exception has been injected. */
int __must_check guest_translate(struct guest_view *g, u64 linear, bool write, gpaddr_t *gpa);

/* Translate a linear address for an access (WALK_* of guestwalk.h). -EFAULT: it faults, with
 * *error; no exception has been injected. */
int __must_check guest_translate_as(struct vcpu *v, u64 linear, u32 access, gpaddr_t *gpa,
				    u32 *error);

/* Fetch the bytes at the instruction pointer: 15, or fewer if a page that cannot be read follows.
 * Returns how many. Never injects an exception. */
unsigned int guest_fetch(struct vcpu *v, u8 bytes[15]);
unsigned int guest_fetch_all(struct guest_view *g, u8 bytes[15]);
/* Only the first byte; -EFAULT: it cannot be read. */
int guest_first_byte(struct guest_view *g);
