/* Ports by which a guest powers its machine off or resets it. */
#pragma once

#include <kernel/lib/compiler.h>

struct domain;

/* Register the ports for a new domain: the sleep and reset registers that its ACPI tables name, and
 * the command port of the keyboard controller, for its reset line, unless it has the whole
 * controller (`legacy`). -ENOSPC, -EEXIST. Boot. */
int __must_check guestpower_init(struct domain *d, bool legacy);
