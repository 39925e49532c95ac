/* The internals of a simulated remapping unit: registers, caches, requests in progress. Not for
 * tests. */
#pragma once

#include <pthread.h>

#include <iommu/regs.h>
#include <iommu/unit.h>
#include <tests/model/cache.h>
#include <tests/model/vtd.h>

#define MACHINE_FRAMES (1UL << 20) /* at least */
#define MACHINE_REGS 0xfed90000UL /* of unit 0; the others follow at this distance */
#define MACHINE_REGS_STEP 0x10000UL
#define MACHINE_REGS_SIZE (5 * PAGE_SIZE) /* the last fault record that CAP can name */
/* The frames of the allocator. */
#define MACHINE_ALLOC_FIRST 0x100UL
#define MACHINE_ALLOC_FRAMES 0x2000UL
/* Freed tables are filled with entries that lead to this frame, which no domain ever owns. */
#define POISON_FRAME 0x8fffUL
#define POISON_ENTRY (POISON_FRAME << PAGE_SHIFT | SS_PS | SS_R | SS_W)

#define MAX_FLIGHTS 8
#define MAX_PARKED 8

/* A context entry as the unit read it. Entries that are not present are cached under domain id 0,
 * in caching mode only (6.1). */
struct context_copy {
	bool valid, present, ats;
	bool quiet; /* not present, and faults are not recorded */
	u16 did;
	paddr_t root;
	unsigned int levels;
};

/* A DMA that has been translated, but has not reached memory. */
struct flight {
	bool used, write;
	u16 did;
	dfn_t dfn;
	mfn_t mfn;
};

struct vtd_device {
	struct cache tlb; /* entries under domain id 0 */
	unsigned int outstanding; /* invalidations that it has not answered */
	bool suspect; /* may be quarantined: the unit refused its descriptor */
	bool guilty; /* must be: it timed out, or sent an unexpected answer */
	u32 faults; /* its recorded faults */
};

struct vtd_unit {
	pthread_mutex_t lock; /* guards everything except regs, which are accessed atomically */
	u8 regs[MACHINE_REGS_SIZE] __aligned(4096);
	size_t mapped; /* bytes of regs */
	struct cache iotlb, pointers;
	struct context_copy context[VTD_DEVICES];
	struct {
		bool valid;
		struct irte e;
	} interrupt[IRTE_PER_UNIT];
	struct flight flight[MAX_FLIGHTS];
	bool interrupt_raised, fault_raised;
	u32 next_record; /* of faults */
	/* A device-TLB invalidation in progress and the waits behind it; nothing behind a wait with
	 * the fence flag is fetched. */
	bool waits_for_device;
	struct qi_desc asked, parked[MAX_PARKED];
	unsigned int nr_parked;
};

extern struct vtd_unit vtd_units[VTD_UNITS];
extern struct vtd_device vtd_device_states[VTD_DEVICES];
/* By frame: the number of cached pointers and context entries that lead to it. */
extern u32 *vtd_pointers_to;

/* By the device's index: how many invalidations its queue takes. */
extern const u32 vtd_ats_depth[VTD_DEVICES];
int vtd_device_index(struct pci_id dev);
static inline unsigned int vtd_unit_of_device(unsigned int device)
{
	return device != 0 && device != 4;
}

/* registers.c */
u64 vtd_reg64(const struct vtd_unit *u, u32 reg);
u32 vtd_reg32(const struct vtd_unit *u, u32 reg);
void vtd_set_reg64(struct vtd_unit *u, u32 reg, u64 value);
void vtd_set_reg32(struct vtd_unit *u, u32 reg, u32 value);
/* The events; the unit's lock is held. */
void vtd_raise_fault(struct vtd_unit *u, u32 fsts_bit);
void vtd_raise_completion(struct vtd_unit *u);
void vtd_record_fault(struct vtd_unit *u, u16 sid, dfn_t dfn, bool write, u32 reason);

/* machine.c */
void machine_start(u64 frames);
void machine_stop(void);
bool machine_has(const void *va);
/* What a unit reads at pa, an entry of a table: memory, or its last written-back content. */
u64 machine_walker_read(const struct vtd_unit *u, paddr_t pa);
/* The CPU's cache writes back the line at pa. */
void machine_evict(paddr_t pa);

/* work.c */
void work_start(void);

/* walk.c; the unit's lock is held. */
/* The device's context entry, cached or read now; NULL: the device is blocked. */
const struct context_copy *vtd_context(struct vtd_unit *u, unsigned int device);
void vtd_drop_context(struct vtd_unit *u, unsigned int device);
/* Walks for dfn from each place where a walk of the device can begin (the root, cached pointers),
 * without filling caches; calls found() with the result, if there is one. */
void vtd_try_walks(struct vtd_unit *u, unsigned int device, dfn_t dfn,
		   void (*found)(void *ctx, mfn_t mfn, u8 perm), void *ctx);
