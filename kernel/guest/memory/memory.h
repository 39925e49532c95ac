/* A domain's memory: nested tables, I/O tables and the allocator moved together, under the one
 * rule.
 *
 * Giving back is deferred: the nested and the I/O entries become tombstones, one batch counts the
 * remapping units and the CPUs that may still have them cached, and the last answer frees the
 * frames.
 */
#pragma once

#include <kernel/guest/memory/nested.h>
#include <kernel/lib/compiler.h>
#include <kernel/lib/step.h>

struct iommu_domain;

struct memory {
	u16 owner; /* the domain's id, which owns its frames */
	const char *name; /* the domain's, for messages */
	struct nested nested;
	struct iommu_domain *iommu;
	bool has_devices; /* what is mapped for its CPUs is mapped in the I/O tables too ... */
	bool devices_see_all; /* ... and what was there before is by now; both under nested.lock */
	bool machine_addresses; /* its devices use machine addresses (kernel/guest/memory/pool.h), not the guest's */
	u64 pages_owned, pages_limit; /* under nested.lock */
};

/* Empty nested and I/O tables for the domain with this id and name. wake(arg) is called (any context, no lock held)
 * when something is gone that one of its vCPUs may wait for. -ENOMEM, -ENOSPC; memory_free() undoes what was made. */
int __must_check memory_init(struct memory *m, u16 owner, const char *name, void (*wake)(void *arg),
			     void *arg);
/* Free the nested tables, which must be empty; the I/O tables are gone already. */
void memory_free(struct memory *m);

/* Give a new domain its memory in the largest blocks there are, zeroed, and map it for CPUs and (if
 * it will own devices) for devices. -ENOMEM with one line in the log saying what could be had.
 * Boot. */
int __must_check memory_build(struct memory *m, u64 bytes);
/* Give back / take again at most a bounded part of [gfn, gfn + nr). The frames done (>= 1), or
 * -EAGAIN: try again when the domain is woken, -EINVAL, -ENOMEM. */
s64 memory_release(struct memory *m, gfn_t gfn, u64 nr);
s64 memory_populate(struct memory *m, gfn_t gfn, u64 nr);
/* Map a bounded part of what the CPUs of d reach for its devices too, from *gfn (first 0) on: before its first device is attached.
 * A step (STEP_DONE: all is mapped, or was; STEP_WAIT: try again later), -ENOMEM, or what the frame table refused. What d gives
 * back or takes meanwhile is kept right. */
int __must_check memory_map_for_devices(struct memory *m, gfn_t *gfn);
/* The frame by which d's devices reach what is at gfn; -ENOENT: no memory. */
s64 memory_device_frame(struct memory *m, gfn_t gfn);
/* Map or unmap device registers (whole pages) for the CPUs only. */
int __must_check memory_map_device(struct memory *m, gfn_t gfn, mfn_t mfn, u64 nr);
void memory_unmap_device(struct memory *m, gfn_t gfn, u64 nr);

/* Copy to or from guest memory; may cross pages. -EFAULT where the guest has none. */
int __must_check guest_read(struct memory *m, gpaddr_t gpa, void *buf, size_t len);
int __must_check guest_write(struct memory *m, gpaddr_t gpa, const void *buf, size_t len);
/* Replace the aligned word of `size` bytes (4 or 8) at gpa if it is `expected`. -EBUSY: it is not;
 * -EFAULT. Atomic. */
int __must_check guest_cmpxchg(struct memory *m, gpaddr_t gpa, unsigned int size, u64 expected,
			       u64 desired);
int __must_check guest_zero(struct memory *m, gpaddr_t gpa, u64 len);

/* For a domain that is started again, when neither CPU nor device can reach its memory: take a bounded part of what it gave back
 * again, and clear it with the rest, from *gfn (first 0) on. A step (STEP_WAIT: try again later), or -ENOMEM. */
int __must_check memory_renew_step(struct memory *m, gfn_t *gfn);

/* For a domain that ends, when neither CPU nor device can reach its memory any more: free a bounded
 * part from *gfn (first 0) on. */
enum step memory_empty_step(struct memory *m, gfn_t *gfn);
