/* A domain's memory: nested tables, I/O tables and the allocator moved together, under the one
 * rule.
 *
 * Giving back is deferred: the nested and the I/O entries become tombstones, one batch counts the
 * remapping units and the CPUs that may still have them cached, and the last answer frees the
 * frames.
 */
#pragma once

#include <kernel/lib/compiler.h>
#include <kernel/lib/step.h>

struct domain;

/* Give a new domain its memory in the largest blocks there are, zeroed, and map it for CPUs and (if
 * it will own devices) for devices. -ENOMEM with one line in the log saying what could be had.
 * Boot. */
int __must_check memory_build(struct domain *d, u64 bytes);
/* Give back / take again at most a bounded part of [gfn, gfn + nr). The frames done (>= 1), or
 * -EAGAIN: try again when the domain is woken, -EINVAL, -ENOMEM. */
s64 memory_release(struct domain *d, gfn_t gfn, u64 nr);
s64 memory_populate(struct domain *d, gfn_t gfn, u64 nr);
/* Map a bounded part of what the CPUs of d reach for its devices too, from *gfn (first 0) on: before its first device is attached.
 * A step (STEP_DONE: all is mapped, or was; STEP_WAIT: try again later), -ENOMEM, or what the frame table refused. What d gives
 * back or takes meanwhile is kept right. */
int __must_check memory_map_for_devices(struct domain *d, gfn_t *gfn);
/* The frame by which d's devices reach what is at gfn; -ENOENT: no memory. */
s64 memory_device_frame(struct domain *d, gfn_t gfn);
/* Map or unmap device registers (whole pages) for the CPUs only. */
int __must_check memory_map_device(struct domain *d, gfn_t gfn, mfn_t mfn, u64 nr);
void memory_unmap_device(struct domain *d, gfn_t gfn, u64 nr);

/* Copy to or from guest memory; may cross pages. -EFAULT where the guest has none. */
int __must_check guest_read(struct domain *d, gpaddr_t gpa, void *buf, size_t len);
int __must_check guest_write(struct domain *d, gpaddr_t gpa, const void *buf, size_t len);
/* Replace the aligned word of `size` bytes (4 or 8) at gpa if it is `expected`. -EBUSY: it is not;
 * -EFAULT. Atomic. */
int __must_check guest_cmpxchg(struct domain *d, gpaddr_t gpa, unsigned int size, u64 expected,
			       u64 desired);
int __must_check guest_zero(struct domain *d, gpaddr_t gpa, u64 len);

/* For a domain that is started again, when neither CPU nor device can reach its memory: take a bounded part of what it gave back
 * again, and clear it with the rest, from *gfn (first 0) on. A step (STEP_WAIT: try again later), or -ENOMEM. */
int __must_check memory_renew_step(struct domain *d, gfn_t *gfn);

/* For a domain that ends, when neither CPU nor device can reach its memory any more: free a bounded
 * part from *gfn (first 0) on. */
enum step memory_empty_step(struct domain *d, gfn_t *gfn);
