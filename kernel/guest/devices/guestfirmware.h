/* What a guest finds of a PC's firmware: ACPI tables (guestacpi.h), code at the reset vector. */
#pragma once

#include <kernel/lib/compiler.h>

struct domain;

/* Where a PC begins after its reset: code that resets it again. */
#define GUEST_RESET_VECTOR 0xffff0UL

/* Write both into the memory of a domain whose vCPUs do not run. Failures are logged. -EFAULT: it
 * has no memory there. */
int __must_check guestfirmware_write(struct domain *d, u32 nr_vcpus);
