/* The BIOS data area of a guest, at 0x400, where kernels look for what a PC's BIOS has found. */
#pragma once

#include <kernel/lib/compiler.h>

struct domain;

#define GUEST_BIOS_DATA 0x400UL
#define GUEST_BIOS_DATA_SIZE 0x100

/* Fill in the area. unix_s: the date in seconds, for the BIOS's count of ticks since midnight. */
void guestbios_make(u8 area[GUEST_BIOS_DATA_SIZE], u64 unix_s);
/* Write it and the extended BIOS data area into the domain's memory, before the kernel is loaded:
 * one that is linked there wins. Failures are logged. -EFAULT: the domain has no memory there. */
int __must_check guestbios_write(struct domain *d);
