/* A memory operand of an emulated instruction: RAM where there is any, else the memory bus. The
 * vCPU's own CPU, in an exit. */
#pragma once

#include <kernel/lib/compiler.h>
#include <kernel/lib/types.h>

struct vcpu;

/* Where it is: two parts if it crosses a page. */
struct operand {
	unsigned int nr;
	struct {
		gpaddr_t gpa;
		unsigned int size;
	} part[2];
};

/* Find the `size` bytes at this linear address. -EFAULT: the page fault was injected. */
int __must_check operand_locate(struct vcpu *v, u64 linear, unsigned int size, bool write,
				struct operand *p);
/* Read or write all of it. -EAGAIN: the vCPU was parked by what answers there. */
int __must_check operand_access(struct vcpu *v, const struct operand *p, bool write, u64 *value);
