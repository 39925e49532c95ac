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

/* Translate for a data access with the current privilege. -EFAULT: the exception that the
 * instruction deserves was injected. */
int __must_check guest_translate(struct vcpu *v, u64 linear, bool write, gpaddr_t *gpa);

/* Copy from or to guest linear memory with the current privilege. 0; -EFAULT: the exception that
 * the instruction deserves was injected; -ENODEV: a page that is not RAM is in the way, *gpa is
 * where. */
int __must_check guest_read_linear(struct vcpu *v, u64 linear, void *buf, size_t len, gpaddr_t *gpa);
int __must_check guest_write_linear(struct vcpu *v, u64 linear, const void *buf, size_t len,
				    gpaddr_t *gpa);

/* The bytes at the instruction pointer: up to 15, fewer where a page that cannot be read follows.
 * Returns how many; nothing is injected. */
unsigned int guest_fetch(struct vcpu *v, u8 bytes[15]);
