/* Accesses to a guest's linear memory on behalf of its instructions, with the same permission
 * checks and faults. On the vCPU's own CPU, in an exit. */
#pragma once

#include <kernel/guest/vcpu/backend.h>

/* Translate a linear address for a data access with the current privilege level. -EFAULT: it
 * faults; the exception has been injected. */
int __must_check guest_translate(struct vcpu *v, u64 linear, bool write, gpaddr_t *gpa);

/* Copy len bytes from or to guest linear memory with the current privilege level. -EFAULT: the
 * access faults, and the exception has been injected; -ENODEV: part of the range is not RAM, and
 * *gpa is where. In both cases, earlier pages have been copied. */
int __must_check guest_read_linear(struct vcpu *v, u64 linear, void *buf, u64 len, gpaddr_t *gpa);
int __must_check guest_write_linear(struct vcpu *v, u64 linear, const void *buf, u64 len,
				    gpaddr_t *gpa);

/* Fetch the bytes at the instruction pointer: 15, or fewer if a page that cannot be read follows.
 * Returns how many. Never injects an exception. */
unsigned int guest_fetch(struct vcpu *v, u8 bytes[15]);
/* The same for the first `nr` bytes, at most 15, in this mode of the vCPU. */
unsigned int guest_fetch_first(const struct vcpu *v, const struct vcpu_mode *m, u8 *bytes,
			       unsigned int nr);
