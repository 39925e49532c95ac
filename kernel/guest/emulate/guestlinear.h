/* A guest's linear memory, accessed for its instructions, with the rights and faults that these
 * have. The vCPU's own CPU, in an exit. */
#pragma once

#include <kernel/guest/vcpu/vcpu.h>

/* Translate for a data access with the current privilege. -EFAULT: the exception that the
 * instruction deserves was injected. */
int __must_check guest_translate(struct vcpu *v, u64 linear, bool write, gpaddr_t *gpa);

/* Copy from or to guest linear memory with the current privilege. 0; -EFAULT: the exception that
 * the instruction deserves was injected; -ENODEV: a page that is not RAM is in the way, *gpa is
 * where. */
int __must_check guest_read_linear(struct vcpu *v, u64 linear, void *buf, u64 len, gpaddr_t *gpa);
int __must_check guest_write_linear(struct vcpu *v, u64 linear, const void *buf, u64 len,
				    gpaddr_t *gpa);

/* The bytes at the instruction pointer: up to 15, fewer where a page that cannot be read follows.
 * Returns how many; nothing is injected. */
unsigned int guest_fetch(struct vcpu *v, u8 bytes[15]);
