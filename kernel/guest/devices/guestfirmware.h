/* The parts of a PC's firmware that a guest finds in memory: ACPI tables (guestacpi.h), with
 * legacy=on an MP table (guestmptable.h), and code at the reset vector. */
#pragma once

#include <kernel/lib/compiler.h>

struct domain;

/* The address, in real mode, of a PC's reset vector. The code there resets the guest again. */
#define GUEST_RESET_VECTOR 0xffff0UL

/* Write them into the domain's memory. None of its vCPUs runs. Failures are logged. -EFAULT: the
 * domain has no memory there. */
int __must_check guestfirmware_write(struct domain *d, u32 nr_vcpus);
