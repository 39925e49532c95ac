/* The trapped pages of a function's BARs: what a guest must not reach directly. They hold the MSI-X
 * table or its pending bits, or share a page with something that is not the guest's. */
#pragma once

#include <kernel/lib/compiler.h>

struct vfunction;
struct vpci;

/* Which BAR's pages were hit. One that is accessed may outlive the function. */
struct vtrap {
	struct vpci *bus;
	u8 slot, bar;
};

/* The pages of BAR i that must be trapped: [*first, *last], in bytes from the BAR's start. False:
 * there are none. */
bool vtrap_pages(const struct vfunction *f, u32 i, u64 *first, u64 *last);
/* Trap them where the BAR is mapped. False: there is no room, or something else is there. The bus
 * is locked. */
bool vtrap_add(struct vfunction *f, u32 i, u64 first, u64 last);
void vtrap_remove(const struct vfunction *f, u32 i, u64 first);
