/* What answers a guest's port and memory accesses. A domain's ranges are registered while it is
 * built, or by its virtual PCI bus when a BAR moves; where nothing is registered, a read returns
 * all ones and a write is dropped, as on a PC where nothing is plugged in, and the access is
 * counted.
 */
#pragma once

#include <kernel/lib/compiler.h>
#include <kernel/core/spinlock.h>

struct vcpu;

#define BUS_MAX_RANGES 32

struct bus_range {
	u64 first, last; /* port numbers, or guest-physical addresses; both included */
	void *ctx;
	/* size is 1, 2, 4 (or 8 for memory); an access never crosses the range's end. Called
	 * without a lock held, on the vCPU's CPU. -EAGAIN: the vCPU was parked, the instruction is
	 * to be executed again. */
	int (*read)(void *ctx, struct vcpu *v, u64 offset, unsigned int size, u64 *value);
	int (*write)(void *ctx, struct vcpu *v, u64 offset, unsigned int size, u64 value);
};

struct bus {
	struct spinlock lock; /* guards the array; leaf */
	u32 nr;
	struct bus_range range[BUS_MAX_RANGES];
	u64 absent; /* accesses that nothing answered */
};

/* An empty bus. */
void bus_init(struct bus *b);
/* -ENOSPC when the table is full (said in the log with the domain's name), -EEXIST on overlap. */
int __must_check bus_add(struct bus *b, const struct bus_range *r);
/* Remove the range that starts at first; nothing happens if there is none. */
void bus_remove(struct bus *b, u64 first);
/* 0, or -EAGAIN from the range's own handler. */
int __must_check bus_read(struct bus *b, struct vcpu *v, u64 addr, unsigned int size, u64 *value);
int __must_check bus_write(struct bus *b, struct vcpu *v, u64 addr, unsigned int size, u64 value);
