/* The control domain: its privileged hypercalls and its console. */
#pragma once

#include <iommu/identity.h>
#include <kernel/lib/compiler.h>

struct domain;

/* Make d, which is built but not started, the control domain: it gets what is typed on the console.
 * Boot, once. */
void control_init(struct domain *d, enum identity_policy policy);
/* Perform a privileged hypercall. Returns its result, -EPERM if the caller is not the control
 * domain, or -ENOSYS. */
s64 control_call(struct domain *caller, u64 number, u64 a, u64 b, u64 c);
