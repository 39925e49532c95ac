/* An I/O address space and its batches, as the files of iommu/ see them. */
#pragma once

#include <iommu/unit.h>
#include <kernel/abi/hypercall.h>
#include <kernel/core/work.h>
#include <kernel/lib/atomic.h>

/* Batches that a domain may have in flight. All batches' numbers stay below 2^11: a tombstone
 * carries one. */
#define BATCHES_PER_DOMAIN 16
#define MAX_IOMMU_DOMAINS 64
_Static_assert(BATCHES_PER_DOMAIN *MAX_IOMMU_DOMAINS <= 2048, "batch numbers of 11 bits");

/* Tables that one unmap can need: each of its two ends may lie inside a 1 GiB leaf, and then inside
 * one of the 2 MiB leaves that it was split into. */
#define RESERVE_TABLES 4

/* Work that waits for a free batch. */
struct batch_waiter {
	struct list link; /* empty: it does not wait */
	struct work *work;
};

enum batch_state { BATCH_FREE, BATCH_OPEN, BATCH_POSTED };

struct unit_request {
	struct iommu_request request;
	struct iommu_batch *batch;
};

struct iommu_batch {
	struct iommu_batch_user user;
	struct iommu_domain *domain;
	u32 number;
	enum batch_state state; /* under the domain's lock */
	bool structural, split; /* counted in domain->structural, domain->splits */
	bool changed; /* the tables */
	u32 pending; /* parties that have to answer, the commit included; atomic */
	u64 tombstones; /* made by its gather */
	dfn_t next, last; /* what the release still has to walk; next > last: nothing */
	u32 deferred; /* collapsed tables, linked by their frame records; NO_TABLE: none */
	u64 frames_held;
	u64 committed; /* when, in cycles */
	u64 *reserve[RESERVE_TABLES]; /* stays with the batch from use to use */
	u32 nr_reserve;
	bool tables_released;
	struct work work;
	struct unit_request unit[]; /* iommu_nr_units */
};
#define NO_TABLE 0xffffffffu

struct iommu_domain {
	/* Guards all below, and the tables. Taken after the caller's lock of its nested tables;
	 * before a unit's queue, the frame table and the allocator. Never held while a function of
	 * the caller's is called. */
	struct spinlock lock;
	u16 owner;
	/* Domain id in the context entries, the same on all units; never 0, which CAP.CM
	 * reserves. */
	u16 did;
	const char *name;
	void (*wake)(void *arg);
	void *wake_arg;

	u64 *root;
	/* What the units of its devices can do (iommu/coherence.c). */
	u64 snoop; /* SS_SNP: leaves have it */
	bool coherent; /* the walkers snoop */
	bool expected; /* a device was attached, or named by iommu_expect() */
	/* Batches not recycled yet that unlinked a table: meanwhile every flush has IH = 0. */
	u32 structural;
	/* Batches not recycled yet that split a superpage: meanwhile every flush is of the whole
	 * domain. */
	u32 splits;
	u32 devices_on[DMAR_MAX_UNITS]; /* attached, or detached and not drained */
	struct list device_tlbs; /* of the devices that have one */
	u8 reserved_users[DMAR_MAX_RESERVED]; /* by region: see iommu/reserved.c */
	u32 nr_batches; /* not free */
	bool batch_wanted; /* none was free for somebody, who has not been woken since */
	struct list batch_waiters;
	struct iommu_batch *batch[BATCHES_PER_DOMAIN];

	u64 entries[3]; /* leaves by size: present, and in unlinked tables until their release */
	u64 tables, tombstones;
	u64 references; /* dev_tlb: leaves and their tombstones, also in unlinked tables */
	u64 frames_held, frames_held_max;
	struct weir_stats counters; /* the io_, batch and invalidation members that only go up */

	bool destroying;
	void (*destroyed)(void *arg);
	void *destroyed_arg;
	struct work destroyer;
};

/* Write back what a walker will read of d's tables, if one does not snoop: n bytes, or one
 * entry. */
static inline void iommu_write_back(const struct iommu_domain *d, const void *p, size_t n)
{
	if (!d->coherent)
		hw_write_back(p, n);
}

static inline void iommu_write_back_entry(const struct iommu_domain *d, const u64 *e)
{
	if (!d->coherent)
		hw_write_back_line(e);
}

/* True if a device behind u can use d's tables: from now on, if nothing is mapped in them. d's lock
 * is held. iommu/coherence.c */
bool domain_suits(struct iommu_domain *d, const struct iommu_unit *u);
/* A unit has completed nr invalidations of the domain, or they have failed. Any context. */
static inline void domain_count_completed(struct iommu_domain *d, u32 nr)
{
	(void)atomic_add(&d->counters.invalidations_completed, (u64)nr);
	(void)atomic_add(&d->counters.completion_interrupts, 1);
}

/* All batches of d are in flight: deferred work looks whether a unit that must answer is gone. d's
 * lock is held. */
void domain_held_up(struct iommu_domain *d);
/* If d shall be destroyed, and no batch of it is in flight, and no device counts (one that could
 * not be attached may, until its reserved memory is unmapped): begin. d's lock is held. */
void domain_destroy_if_idle(struct iommu_domain *d);
/* Free a batch. True if somebody has found none. d's lock is held; domain_batch_done() follows. */
bool domain_free_batch(struct iommu_batch *b);
/* A batch is free again: wake what waits for one, and the domain if `wake`. No lock held. */
void domain_batch_done(struct iommu_domain *d, bool wake);
/* Begin a gather without tables for splits: for what unmaps only ranges as they were mapped, by
 * leaves that nothing has joined (iommu/map.c, collapse()). Never allocates. False: no batch is
 * free, and w's work is queued when one is. No lock held. */
bool __must_check gather_begin_or_wait(struct iommu_gather *g, struct iommu_domain *d,
				       struct batch_waiter *w);
