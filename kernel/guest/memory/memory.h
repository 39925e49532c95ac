/* A domain's memory: nested tables, I/O tables and the allocator moved together, under the one
 * rule.
 *
 *	taken       kernel/guest/memory/populate.h     built at boot, or taken again
 *	shared      kernel/guest/memory/devicemap.h    mapped for its devices too
 *	used        kernel/guest/memory/guestcopy.h    read and written by Weir for the guest
 *	given back  kernel/guest/memory/memrelease.h   unmapped at once, freed after the last answer
 */
#pragma once

#include <kernel/guest/memory/nested.h>
#include <kernel/lib/compiler.h>

struct iommu_domain;

struct memory {
	u16 owner; /* the domain's id, which owns its frames */
	const char *name; /* the domain's, for messages */
	struct nested nested;
	struct iommu_domain *iommu;
	/* What is mapped for its CPUs is mapped in the I/O tables too ... */
	bool has_devices;
	/* ... and what was there before is by now. Both under nested.lock. */
	bool devices_see_all;
	/* Its devices use machine addresses (kernel/guest/memory/pool.h), not the guest's. */
	bool machine_addresses;
	u64 pages_owned, pages_limit; /* under nested.lock */
};

/* Entries that one call or one release step may touch, and frames that one call may clear: some
 * tens of microseconds. */
#define MEMORY_STEP_ENTRIES 512
#define MEMORY_STEP_CLEAR 512

/* Empty nested and I/O tables for the domain with this id and name. wake(arg) is called (any
 * context, no lock held) when something is gone that one of its vCPUs may wait for. -ENOMEM,
 * -ENOSPC; memory_free() undoes what was made. */
int __must_check memory_init(struct memory *m, u16 owner, const char *name, void (*wake)(void *arg),
			     void *arg);
/* Free the nested tables, which must be empty; the I/O tables are gone already. */
void memory_free(struct memory *m);

/* Move *gfn into RAM if it is in the hole. The frames of RAM that follow there without a gap; 0:
 * *gfn is beyond the domain's last frame. */
u64 memory_ram_from(const struct memory *m, gfn_t *gfn);
/* True if all of [gfn, gfn + nr), which is not empty, is RAM. */
bool memory_is_ram(const struct memory *m, gfn_t gfn, u64 nr);

/* Map or unmap device registers (whole pages) for the CPUs only. -EEXIST, -EAGAIN: something else
 * is there, or a tombstone; -ENOMEM, -EINVAL. */
int __must_check memory_map_device(struct memory *m, gfn_t gfn, mfn_t mfn, u64 nr);
void memory_unmap_device(struct memory *m, gfn_t gfn, u64 nr);
