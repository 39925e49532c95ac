/* Where a guest's BARs lie: a window below 4 GiB, and one above its RAM for 64-bit BARs. The ACPI
 * tables of the guest describe both; its memory map has neither. */
#pragma once

#include <kernel/lib/compiler.h>

struct domain;
struct vfunction;

/* The window of the 64-bit BARs: [first, end). Empty if first is end, since the processor's
 * addresses are too short. */
struct vwindow {
	u64 first, end;
};
/* That of a domain whose memory is built. */
struct vwindow vwindow_above_ram(const struct domain *d);
/* True if all of [at, at + size) is in one of the two windows of f's domain. */
bool vwindow_contains(const struct vfunction *f, u64 at, u64 size);
/* Choose guest addresses for the memory BARs of f, the largest first: the lowest that no other
 * function of the bus was given. Large 64-bit prefetchable BARs go above RAM, and so does any
 * 64-bit BAR for which there is no room below 4 GiB. -ENOSPC: there is no room. The bus is
 * locked. */
int __must_check vwindow_place(struct vfunction *f);
/* How many bytes of the windows the BARs take. */
u64 vwindow_total_size(const struct vfunction *f);
