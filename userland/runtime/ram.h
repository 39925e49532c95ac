/* The guest's memory: identity mapped, so an address here is a guest-physical one and a device's. What is handed out is
 * never taken back. */
#pragma once

#include <kernel/compiler.h>
#include <userland/runtime/boot.h>

/* Page tables for all RAM (write-back) and for devices below 4 GiB (uncached), and the list of what is free. */
void ram_init(void);
/* Zeroed memory. NULL if there is none left. align: a power of two. */
void *ram_alloc(size_t size, size_t align);
/* Usable RAM that the loader reported, and what is still free, in bytes. */
u64 ram_total(void);
u64 ram_free(void);
/* Take the largest free piece, shrunk to whole multiples of `align`, but leave `keep` bytes of it for ram_alloc().
 * False (and size 0) if nothing is left. Not zeroed. */
bool ram_take_largest(u64 align, u64 keep, struct boot_range *area);
/* Map device registers, wherever they are. Returns their address, NULL without memory for the tables. */
volatile void *ram_map_device(u64 address, u64 size);
