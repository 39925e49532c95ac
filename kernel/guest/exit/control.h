/* The control domain: what it alone may ask, and its console. */
#pragma once

#include <iommu/identity.h>
#include <kernel/lib/compiler.h>

struct domain;

/* The domain, built but not started, becomes the control domain: what is typed on the console is its. Boot, once. */
void control_init(struct domain *d, enum identity_policy policy);
/* Tell the control domain, if there is one (enum weir_event). Any context. */
void control_event(u32 events);
/* A hypercall that is not everybody's: the result, -EPERM if the caller is not the control domain, -ENOSYS. */
s64 control_call(struct domain *caller, u64 number, u64 a, u64 b, u64 c);

/* kernel/guest/exit/hypercall.c: copy the `known` bytes of a structure, `size` of them at most, to the caller's memory. `ret` if that could
 * be done, -EINVAL if the address is not aligned to 8 or the size is more than a page, -EFAULT. */
s64 hypercall_answer(struct domain *d, gpaddr_t gpa, u64 size, const void *from, size_t known, s64 ret);
