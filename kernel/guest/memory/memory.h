/* A domain's memory. Nested tables, I/O tables and the allocator change together, so that a frame
 * is freed only when neither a CPU nor a device can reach it.
 *
 *	taken       kernel/guest/memory/populate.h     built at boot, or taken again
 *	shared      kernel/guest/memory/devicemap.h    mapped for its devices too
 *	used        kernel/guest/memory/guestcopy.h    read and written by Weir for the guest
 *	given back  kernel/guest/memory/memrelease.h   unmapped at once, freed after the last answer
 */
#pragma once

#include <kernel/core/background.h>
#include <kernel/guest/memory/nested.h>
#include <kernel/lib/compiler.h>

struct iommu_domain;

struct memory {
	u16 owner; /* the domain's id, in the records of its frames */
	const char *name; /* the domain's, for messages */
	struct nested nested;
	struct iommu_domain *iommu;
	/* Whatever is mapped for its CPUs from now on is mapped in the I/O tables too ... */
	bool has_devices;
	/* ... and so is everything that was mapped before. Both are guarded by nested.lock. */
	bool devices_see_all;
	/* Its devices use machine addresses (kernel/guest/memory/pool.h) instead of guest
	 * addresses. */
	bool machine_addresses;
	u64 pages_owned, pages_limit; /* under nested.lock */
	struct background clearing; /* see kernel/guest/memory/clear.h */
	gfn_t clear_next; /* under nested.lock: from here on nobody has begun to clear it */
};

/* How many entries one call or one release step may visit: some tens of microseconds. */
#define MEMORY_STEP_ENTRIES 256

/* Create empty nested and I/O tables for the domain with this id and name. wake(arg) is called (in
 * any context, with no lock held) when something that one of its vCPUs may be waiting for has
 * completed. -ENOMEM, -ENOSPC; memory_free() then frees what was created. */
int __must_check memory_init(struct memory *m, u16 owner, const char *name, void (*wake)(void *arg),
			     void *arg);
/* Free the nested tables, which must be empty: after memory_empty_step(), only the root is left.
 * The I/O tables must already be gone. */
void memory_free(struct memory *m);

/* If *gfn is in the hole below 4 GiB, advance it to the next RAM. Returns the number of contiguous
 * frames of RAM from there; 0: *gfn is beyond the domain's last frame. */
u64 memory_ram_from(const struct memory *m, gfn_t *gfn);
/* True if [gfn, gfn + nr) is not empty and all of it is RAM. */
bool memory_is_ram(const struct memory *m, gfn_t gfn, u64 nr);

/* Map or unmap device registers, in whole pages, for the CPUs only: [*gfn, end), not empty, until
 * *budget entries have been visited; *gfn and *budget advance. Each returns a step, or
 * memory_map_device() an error: -EEXIST: something else is mapped there; -EAGAIN: a tombstone is;
 * -ENOMEM; -EINVAL: beyond the tables. What is before *gfn stays mapped then. Unmapping does not
 * wait until the CPUs have flushed their TLBs: see shootdown_done(). */
int __must_check memory_map_device(struct memory *m, gfn_t *gfn, gfn_t end, mfn_t mfn, u64 *budget);
enum step memory_unmap_device(struct memory *m, gfn_t *gfn, gfn_t end, u64 *budget);
