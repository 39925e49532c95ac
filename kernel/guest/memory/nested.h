/* Nested page tables: guest-physical to machine-physical, as the CPUs see it.
 *
 * Like the I/O tables, an unmapped leaf becomes a tombstone: not present, but still naming the
 * frame and the batch that will release it, so that the release needs no memory to remember what to
 * give back. The walker is common; a back end's entry format (AMD APM vol. 2, 15.25; Intel SDM vol.
 * 3, 29.3) is a small struct of functions.
 */
#pragma once

#include <kernel/lib/compiler.h>
#include <kernel/lib/step.h>
#include <kernel/core/spinlock.h>

#define NESTED_READ 1u
#define NESTED_WRITE 2u
#define NESTED_EXEC 4u
#define NESTED_RAM (NESTED_READ | NESTED_WRITE | NESTED_EXEC)
#define NESTED_DEVICE 8u /* uncached, and no frame of ours: never freed */

/* A back end's entry format; all levels have 512 entries of 8 bytes. */
struct nested_format {
	u64 (*table)(paddr_t pa);
	u64 (*leaf)(paddr_t pa, unsigned int level, u32 flags); /* level 1: 4 KiB, 2: 2 MiB, 3: 1 GiB */
	bool (*present)(u64 entry);
	bool (*is_leaf)(u64 entry, unsigned int level);
	u32 (*flags)(u64 entry);
	bool has_1g;
};
extern const struct nested_format *nested_format; /* set by the back end at boot */

/* vCPUs that run on one set of nested tables. */
#define DOMAIN_MAX_VCPUS 16

/* What the CPU of a vCPU may have cached of the tables; see kernel/guest/memory/shootdown.h. */
struct nested_tlb {
	u32 cpu; /* id of the real CPU */
	/* True from just before the world switch until just after it. A shoot-down looks at it after
	 * raising nested.generation; the entry path sets it, then compares the generation, with a full
	 * barrier between. */
	bool in_guest;
	u64 generation; /* nested.generation when the CPU last entered with a flush */
};

struct nested {
	struct spinlock lock; /* guards the tables */
	paddr_t root; /* level 4 */
	u16 owner;
	u64 generation; /* raised by each unmap; a vCPU flushes its TLB on entry when its own differs */
	u32 nr_tlbs; /* grows while the domain is built; tlb[] is written first */
	const struct nested_tlb *tlb[DOMAIN_MAX_VCPUS];
	u64 entries[3]; /* present leaves by size */
	u64 tables;
};

int __must_check nested_init(struct nested *n, u16 owner);
/* Free all tables; every leaf must be gone. */
void nested_free(struct nested *n);

/* A vCPU is made that will run on these tables. Boot. */
void nested_add_tlb(struct nested *n, const struct nested_tlb *tlb);

/* The caller of these holds n->lock. */

/* Map nr frames with the largest leaves. -EAGAIN: a tombstone is in the way; -EEXIST; -ENOMEM. What
 * was mapped before the error stays: *done says how many frames. */
int __must_check nested_map(struct nested *n, gfn_t gfn, mfn_t mfn, u64 nr, u32 flags, u64 *done);
/* Turn the RAM leaves of [gfn, gfn + nr) into tombstones of batch `number`; device leaves stay.
 * Stops after `budget` entries, or where a superpage must be split and there is no memory for its
 * table; returns the frames passed, *unmapped counts those that were mapped. */
u64 nested_unmap(struct nested *n, gfn_t gfn, u64 nr, u32 number, unsigned int budget, u64 *unmapped);
/* Visit the tombstones of `number` from *gfn up to last: clear each and call fn with its frame(s).
 * At most `budget` entries are looked at; true when the range is finished, else *gfn is where to go
 * on. */
enum step nested_release(struct nested *n, gfn_t *gfn, gfn_t last, u32 number, unsigned int budget,
			 void (*fn)(void *ctx, mfn_t mfn, unsigned int order, u32 flags), void *ctx);

/* Clear device leaves of [gfn, gfn + nr). They hold nothing that must be given back; the caller
 * makes the CPUs flush. Returns the frames passed: fewer than nr when a superpage must be split and
 * there is no memory. */
u64 nested_unmap_device(struct nested *n, gfn_t gfn, u64 nr);
/* For a domain that ends, when nothing can reach its memory: clear every leaf from *gfn on and call
 * fn with it. At most `budget` entries are looked at; true when none is left. */
enum step nested_empty(struct nested *n, gfn_t *gfn, unsigned int budget,
		       void (*fn)(void *ctx, mfn_t mfn, unsigned int order, u32 flags), void *ctx);

struct nested_leaf {
	mfn_t mfn; /* of this gfn, not of the leaf's start */
	unsigned int order;
	u32 flags; /* 0: not mapped */
	bool tombstone;
};
/* What stands at gfn; if nothing, order is the size of the hole that is known to be empty around
 * gfn. */
struct nested_leaf nested_lookup(struct nested *n, gfn_t gfn);
