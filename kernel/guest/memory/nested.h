/* Nested page tables: the CPUs' translation from guest-physical to machine addresses.
 *
 * As in the I/O tables, an unmapped leaf becomes a tombstone: it is not present, but still names
 * the frame and the batch that will release it. So the release needs no extra memory to record what
 * to free. All back ends share the walker; each provides its entry format (AMD APM vol. 2, 15.25;
 * Intel SDM vol. 3, 29.3) as a small struct of functions.
 */
#pragma once

#include <kernel/core/spinlock.h>
#include <kernel/lib/compiler.h>
#include <kernel/lib/step.h>

#define NESTED_READ 1u
#define NESTED_WRITE 2u
#define NESTED_EXEC 4u
#define NESTED_RAM (NESTED_READ | NESTED_WRITE | NESTED_EXEC)
#define NESTED_DEVICE 8u /* uncached, and not RAM: never freed */

/* A back end's entry format. Tables of all levels have 512 entries of 8 bytes. What each walk asks
 * of an entry is a mask, since exits walk often. */
struct nested_format {
	u64 (*table)(paddr_t pa);
	/* Level 1: 4 KiB, 2: 2 MiB, 3: 1 GiB. */
	u64 (*leaf)(paddr_t pa, unsigned int level, u32 flags);
	u32 (*flags)(u64 entry);
	u64 present; /* an entry with any of these bits is present */
	u64 superpage; /* a present entry with this bit is a leaf of level 2 or 3 */
	u64 device; /* a leaf with this bit is NESTED_DEVICE */
	bool has_1g;
};
extern const struct nested_format *nested_format; /* set by the back end at boot */

/* How many vCPUs can run on one set of nested tables. */
#define DOMAIN_MAX_VCPUS 16
/* The last frame that the tables can map. */
#define NESTED_LAST ((1UL << 36) - 1)

/* Which state of the tables a vCPU's CPU may have cached; see kernel/guest/memory/shootdown.h. */
struct nested_tlb {
	u32 cpu; /* id of the real CPU */
	/* True from just before the world switch until just after it. A shoot-down raises
	 * nested.generation and then reads in_guest; the entry path sets in_guest and then compares
	 * the generation. Both have a full barrier in between. */
	bool in_guest;
	u64 generation; /* nested.generation when the CPU last entered with a flush */
};

struct nested {
	struct spinlock lock; /* guards the tables */
	paddr_t root; /* level 4 */
	u16 owner;
	u64 generation; /* raised with each leaf that goes; a vCPU with another value enters with a
			 * flush, and guestram.h forgets what it has found */
	u32 nr_tlbs; /* grows while the domain is built; tlb[] is written first */
	const struct nested_tlb *tlb[DOMAIN_MAX_VCPUS];
	u64 entries[3]; /* present leaves by size */
	u64 tables;
};

/* Create empty tables for frames of this owner (a domain id). -ENOMEM. */
int __must_check nested_init(struct nested *n, u16 owner);
/* Free all tables. No leaf may be left. Takes long unless nested_free_step() has been done. */
void nested_free(struct nested *n);

/* Register a new vCPU that will run on these tables. Boot. */
void nested_add_tlb(struct nested *n, const struct nested_tlb *tlb);

/* nested.lock is held in all functions below, except nested_walk_state(). */

/* Map nr frames with the largest possible leaves. -EAGAIN: a tombstone is in the way; -EEXIST: a
 * leaf is; -ENOMEM; -EINVAL: beyond the tables. What was mapped before an error stays mapped; *done
 * is the number of those frames. */
int __must_check nested_map(struct nested *n, gfn_t gfn, mfn_t mfn, u64 nr, u32 flags, u64 *done);

/* What is taken is at most a piece of this order, since freeing it takes time. */
#define NESTED_PIECE_ORDER ORDER_2M
#define NESTED_PIECE_COST 64UL
#define NESTED_PAGE_COST 1UL

/* Free the tables below the root, at most NESTED_STEP_TABLES per call. No leaf may be left. */
#define NESTED_STEP_TABLES 128
enum step nested_free_step(struct nested *n);

/* A walk over [gfn, last] in bounded steps. */
struct nested_walk {
	struct nested *nested;
	gfn_t gfn; /* where to continue; beyond `last`: the walk is finished */
	gfn_t last;
	u64 budget; /* entries that may still be visited; what is taken costs more */
};

/* The same for what the walk still has to cover, in bounded steps; mfn is for the walk's place. */
int __must_check nested_map_walk(struct nested_walk *w, mfn_t mfn, u32 flags);
/* Turn the RAM leaves of the walk into tombstones of batch `number`; device leaves stay. Stops
 * early if a superpage must be split and there is no memory for the new table. Returns the number
 * of frames that were mapped. */
u64 nested_unmap(struct nested_walk *w, u32 number);
/* Clear the device leaves of the walk: they hold nothing that must be released. The caller makes
 * the CPUs flush. */
u64 nested_unmap_device(struct nested_walk *w);

struct nested_leaf {
	mfn_t mfn;
	unsigned int order;
	u32 flags; /* 0: not mapped */
	bool tombstone;
};
/* What the tables hold for gfn. mfn is the frame of gfn itself, not of the leaf's start. If nothing
 * is mapped, order is the size of the aligned block around gfn that is known to be empty. */
struct nested_leaf nested_lookup(struct nested *n, gfn_t gfn);
/* The RAM at gfn in the direct map, and the order of its leaf. NULL: no RAM is mapped there. For
 * what exits read: shorter than nested_lookup(). */
void *nested_ram(const struct nested *n, gfn_t gfn, unsigned int *order);
/* Take the frames of the walk's next tombstone of batch `number`, or the next piece of them:
 * *taken. The last piece clears the tombstone. False: none is left, or the budget is used up. */
bool nested_take_tombstone(struct nested_walk *w, u32 number, struct nested_leaf *taken);
/* The same for a leaf of any kind. For a domain that ends, once nothing can reach its memory. */
bool nested_take_leaf(struct nested_walk *w, struct nested_leaf *taken);
/* STEP_DONE: the walk is finished; STEP_MORE: it needs another budget. */
enum step nested_walk_state(const struct nested_walk *w);
