/* Dispatches a guest's port and memory accesses to the emulated devices. A domain's ranges are
 * registered while it is built, or by its virtual PCI bus when a BAR moves. Where nothing is
 * registered, a read returns all ones and a write is dropped, as on a PC without a device there,
 * and the access is counted.
 */
#pragma once

#include <kernel/core/spinlock.h>
#include <kernel/lib/compiler.h>

struct vcpu;

#define BUS_MAX_RANGES 32

struct bus_range {
	u64 first, last; /* port numbers, or guest-physical addresses; inclusive */
	void *ctx;
	/* size is 1, 2 or 4, or 8 for memory; an access never crosses the end of the range. Called
	 * on the vCPU's CPU, with no lock held. 0, or -EAGAIN: the instruction must be executed
	 * again; the vCPU may have been parked. */
	int (*read)(void *ctx, struct vcpu *v, u64 offset, unsigned int size, u64 *value);
	int (*write)(void *ctx, struct vcpu *v, u64 offset, unsigned int size, u64 value);
};

struct bus {
	const char *owner, *what; /* for the log: the domain's name, what the bus carries */
	struct spinlock lock; /* guards the array; no other lock is taken inside */
	u32 nr;
	/* A bit for each unit of 16 addresses, modulo 64, in which a range lies. Written under the
	 * lock, read without: most addresses without a device are found so. */
	u64 used;
	struct bus_range range[BUS_MAX_RANGES]; /* in the order of their addresses */
	u64 absent; /* accesses outside all ranges */
};

/* The bit of bus.used for an address: 16 ports, or bytes, share one. */
#define BUS_UNIT_SHIFT 4

static inline u64 bus_unit(u64 addr)
{
	return BIT(addr >> BUS_UNIT_SHIFT & 63);
}

/* True if no range is near addr: then the access is counted here. False: bus_read() or bus_write()
 * must look. */
static inline bool bus_is_absent(struct bus *b, u64 addr)
{
	if (read_once(&b->used) & bus_unit(addr))
		return false;
	(void)atomic_add(&b->absent, 1);
	return true;
}

/* Initialise an empty bus. The strings are kept. */
void bus_init(struct bus *b, const char *owner, const char *what);
/* Add a range. -EEXIST: it overlaps another one; -ENOSPC: the table is full, which is logged. */
int __must_check bus_add(struct bus *b, const struct bus_range *r);
/* Remove the range that starts at `first`, if there is one. */
void bus_remove(struct bus *b, u64 first);
/* Carry out an access of `size` bytes by v. 0, or -EAGAIN from the range's handler. */
int __must_check bus_read(struct bus *b, struct vcpu *v, u64 addr, unsigned int size, u64 *value);
int __must_check bus_write(struct bus *b, struct vcpu *v, u64 addr, unsigned int size, u64 value);
