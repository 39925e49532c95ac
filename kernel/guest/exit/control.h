/* The control domain: what it alone may ask, and its console. */
#pragma once

#include <iommu/identity.h>
#include <kernel/lib/compiler.h>

struct domain;

/* The domain, built but not started, becomes the control domain: what is typed on the console is its. Boot, once. */
void control_init(struct domain *d, enum identity_policy policy);
/* A hypercall that is not everybody's: the result, -EPERM if the caller is not the control domain, -ENOSYS. */
s64 control_call(struct domain *caller, u64 number, u64 a, u64 b, u64 c);
