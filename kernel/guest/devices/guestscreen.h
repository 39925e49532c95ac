/* What a guest shows on its text screen, for the control domain. */
#pragma once

#include <kernel/lib/compiler.h>

struct domain;

/* Copy the first `size` bytes of d's screen, or all of it, to the memory of `to`, which may be d:
 * struct weir_screen. -ENODEV: d has no memory there now; -EFAULT: `to` has none at gpa. */
int __must_check guestscreen_read(struct domain *d, struct domain *to, gpaddr_t gpa, u64 size);
