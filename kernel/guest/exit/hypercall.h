/* Hypercalls that every domain may ask, and how a structure is handed to the caller. */
#pragma once

#include <kernel/lib/compiler.h>

struct domain;
struct vcpu;

/* Decode and perform the hypercall in v's registers. 0: done, the result is in RAX; -EAGAIN: parked, to be restarted. */
int hypercall(struct vcpu *v);
/* Copy the `known` bytes of a structure, `size` of them at most, to the caller's memory. `ret` if that could
 * be done, -EINVAL if the address is not aligned to 8 or the size is more than a page, -EFAULT. */
s64 hypercall_answer(struct domain *d, gpaddr_t gpa, u64 size, const void *from, size_t known, s64 ret);
