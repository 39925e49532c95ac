/* How a guest switches its machine off or resets it. */
#pragma once

#include <kernel/lib/compiler.h>

struct domain;

/* Answer the ports of a new domain: the sleep and reset registers that its ACPI tables name, and
 * the keyboard controller's reset line. -ENOSPC, -EEXIST. Boot. */
int __must_check guestpower_init(struct domain *d);
