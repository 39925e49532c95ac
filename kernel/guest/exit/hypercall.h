/* Hypercalls of every domain, and how a structure is copied to the caller. */
#pragma once

#include <kernel/lib/compiler.h>

struct domain;
struct vcpu;

/* Decode and perform the hypercall in v's registers, which code of privilege level cpl has made.
 * True: done, the result is in RAX. False: v is parked and will execute it again. */
bool exit_hypercall(struct vcpu *v, u8 cpl);
/* Copy the first `size` bytes of a structure of `known` bytes, or all of it, to the caller's
 * memory. Returns `ret`, or -EINVAL if the address is not aligned to 8 or the size is more than a
 * page, or
 * -EFAULT. */
s64 hypercall_answer(struct domain *d, gpaddr_t gpa, u64 size, const void *src, u64 known, s64 ret);
