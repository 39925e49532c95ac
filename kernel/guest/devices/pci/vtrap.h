/* The trapped pages of a function's BARs, which a guest must not access directly. They contain the
 * MSI-X table or the pending bits, or something that does not belong to the guest. */
#pragma once

#include <kernel/lib/compiler.h>

struct vfunction;
struct vpci;

/* Identifies the BAR that was accessed. An access in progress may outlive the function. */
struct vtrap {
	struct vpci *bus;
	u8 slot, bar;
};

/* The part of BAR i that must be trapped: [*first, *last], in bytes from the BAR's start. False:
 * there is none. */
bool vtrap_pages(const struct vfunction *f, u32 i, u64 *first, u64 *last);
/* Trap that part at the guest address where the BAR is mapped, or stop trapping it. False: there is
 * no room, or something else is there. The bus is locked. */
bool vtrap_add(struct vfunction *f, u32 i, u64 first, u64 last);
void vtrap_remove(const struct vfunction *f, u32 i, u64 first);
