/* A memory operand of an emulated instruction, in RAM or on the memory bus. On the vCPU's own CPU,
 * in an exit. */
#pragma once

#include <kernel/lib/compiler.h>
#include <kernel/lib/types.h>

struct guest_view;
struct vcpu;

#define OPERAND_MAX_SIZE 16

/* Where it is: two parts if it crosses a page boundary. */
struct operand {
	unsigned int nr;
	struct {
		gpaddr_t gpa;
		unsigned int size;
		bool trapped; /* there is no RAM: it has been looked for */
	} part[2];
};

/* Locate the `size` bytes at this linear address. Outside 64-bit mode they wrap at 4 GiB. -EFAULT:
 * it faults; the exception has been injected. */
int __must_check operand_locate(struct guest_view *g, u64 linear, unsigned int size, bool write,
				struct operand *p);
/* Read or write all of it. -EAGAIN from the bus: the instruction must be executed again. */
int __must_check operand_read(struct vcpu *v, const struct operand *p, void *bytes);
int __must_check operand_write(struct vcpu *v, const struct operand *p, const void *bytes);
