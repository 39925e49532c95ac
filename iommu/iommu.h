/* Weir's IOMMU subsystem (Intel VT-d, revision 4.1 of the specification) as the rest of the
 * hypervisor sees it.
 *
 * The one rule: a page is never given back while any device can still reach it, through a
 * second-stage table, the paging-structure caches, the IOTLB or a device's own TLB. Each leaf
 * entry holds a dev_tlb reference (kernel/mm/frame.h). Unmapping turns it into a tombstone that
 * keeps the reference; the completion interrupt of the invalidation schedules the release, which
 * drops it.
 *
 *	gather_begin -> unmap/map ... -> commit -> (invalidation) -> interrupt -> release steps
 *
 * Nothing here busy-waits, and nothing between unmap and release allocates memory.
 */
#pragma once

#include <kernel/lib/compiler.h>
#include <kernel/lib/pci_id.h>
#include <kernel/lib/step.h>
#include <kernel/lib/types.h>

struct iommu_domain;
struct iommu_batch;

/* The administrator's options: `iommu=`. */
struct iommu_options {
	bool off; /* leave the units alone; no device can be passed through */
	bool no_intremap; /* leave interrupt remapping off */
	bool has_ivrs; /* the firmware has a table for AMD's IOMMU */
};

/* Find the units in the DMAR table (NULL: there is none) and start them: every device blocked,
 * queued invalidation and, where the unit has it, interrupt remapping. Each problem is logged in
 * one line; the devices of a unit that fails cannot be assigned. Needs irq_alloc(), mmio_map()
 * and the allocator. Boot, bootstrap processor. 0, or -ENODEV when no unit works:
 * iommu_why_absent() tells the reason. */
int __must_check iommu_init(const void *dmar, size_t length, const struct iommu_options *options);
/* True if the DMAR table (or NULL) asks for xAPIC mode (8.1, X2APIC_OPT_OUT). Any time. */
bool iommu_x2apic_opt_out(const void *dmar, size_t length);
/* NULL if devices can be passed through, else why not, for the administrator. */
const char *iommu_why_absent(void);
/* True if a unit's registers lie in [first, last]. */
bool iommu_overlaps(paddr_t first, paddr_t last);

/* --- domains -------------------------------------------------------------- */

/* Called when all parties of a batch have answered and its I/O tables are released: one bounded
 * step of the caller's own release (nested tables, giving frames back). STEP_DONE: the batch is
 * recycled. Deferred work. */
typedef enum step (*iommu_batch_step)(struct iommu_batch *b);

/* Create the I/O address space of domain `owner` (the id that owns the frames). Without any unit it
 * has no tables, but batches still complete when all CPUs have answered. `wake` is called when a
 * tombstone that a vCPU may wait for is gone, or a batch is free again after none was (any context,
 * no lock held). `name` is for messages and must live as long. -ENOMEM, -ENOSPC (domain ids). */
int __must_check iommu_domain_create(struct iommu_domain **out, u16 owner, const char *name,
				     void (*wake)(void *arg), void *arg);
/* Unmap everything and free d; all its devices have been detached. `done(arg)` is called when every
 * batch of the domain is finished, the callers' steps included; d is gone then. Deferred work. */
void iommu_domain_destroy(struct iommu_domain *d, void (*done)(void *arg), void *arg);

/* --- mapping -------------------------------------------------------------- */

#define IOMMU_READ 1u
#define IOMMU_WRITE 2u
/* With iommu_map(): the frames are not RAM that a domain could own (the firmware's reserved
 * regions, or beyond all RAM). They are never given back, so their leaves hold no reference. */
#define IOMMU_NOT_RAM 4u

/* A change of one domain's tables that is being accumulated. It lies on the caller's stack,
 * declared by IOMMU_GATHER(name), and must be committed on every path: a debug build (make
 * DEBUG=1) panics where one is dropped. No lock is held between begin and commit. */
struct iommu_gather {
	struct iommu_domain *domain;
	struct iommu_batch *batch;
	dfn_t first, last; /* device frames that must be flushed; first > last: none */
#ifdef WEIR_DEBUG
	const char *file;
	int line;
#endif
};

#ifdef WEIR_DEBUG
void iommu_gather_check(const struct iommu_gather *g);
/* clang-format off */
#define IOMMU_GATHER(name)                                                                         \
	struct iommu_gather name __attribute__((cleanup(iommu_gather_check))) =                    \
		{ .file = __FILE__, .line = __LINE__ }
/* clang-format on */
#else
#define IOMMU_GATHER(name) struct iommu_gather name
#endif

/* Take one of the domain's batches, with the tables that one unmapping with two ragged ends can
 * need. -EAGAIN: all of them are in flight, try again after `wake`; -ENOMEM: no tables. On
 * failure there is nothing to undo or commit. */
int __must_check iommu_gather_begin(struct iommu_gather *g, struct iommu_domain *d);

/* The same for unmapping, without -ENOMEM: if there are no tables, iommu_can_unmap() says which
 * ranges need none. */
int __must_check iommu_gather_begin_unmap(struct iommu_gather *g, struct iommu_domain *d);
/* True if it has tables for any range. */
bool iommu_gather_can_split(const struct iommu_gather *g);
/* False: the gather may have too few tables to unmap this range. The caller makes sure that the
 * domain's tables do not change between this and iommu_unmap(). */
bool iommu_can_unmap(struct iommu_gather *g, dfn_t dfn, u64 nr);

/* The largest leaf that all units know: log2 of its frames. */
unsigned int iommu_leaf_order(void);
/* Map nr frames from mfn at dfn with the largest leaves possible. perm: IOMMU_READ, IOMMU_WRITE,
 * IOMMU_NOT_RAM. -EAGAIN: a tombstone is in the way (wait for `wake`); -EEXIST: something else is
 * mapped there; -EPERM, -EBUSY: the frame table refused (owner, type); -ENOMEM; -ERANGE: beyond the
 * width; -EINVAL: neither read nor write. On failure what this call had mapped is unmapped again,
 * into the gather. */
int __must_check iommu_map(struct iommu_gather *g, dfn_t dfn, mfn_t mfn, u64 nr, u32 perm);
/* Unmap nr frames from dfn; what is not mapped is skipped. Splits superpages at the ends. Cannot
 * fail for lack of memory; therefore once per gather, since its reserve of tables serves two
 * ragged ends; and only if iommu_can_unmap(), after iommu_gather_begin_unmap(). */
void iommu_unmap(struct iommu_gather *g, dfn_t dfn, u64 nr);

/* What the caller's own release step may use: small words that live as long as the batch. */
struct iommu_batch_user {
	iommu_batch_step step; /* NULL: the caller has nothing to release */
	void *owner;
	u64 word[4];
};
struct iommu_batch_user *iommu_gather_user(struct iommu_gather *g);
struct iommu_batch_user *iommu_batch_user(struct iommu_batch *b);
/* The batch's number in the pool, below 2^11 and unique while the batch lives: nested tombstones
 * carry it. */
u32 iommu_gather_number(const struct iommu_gather *g);
u32 iommu_batch_number(const struct iommu_batch *b);

/* One more party (a CPU whose TLB may hold the range) has to answer before the batch is released.
 * Before commit. */
struct iommu_batch *iommu_gather_expect(struct iommu_gather *g);
/* One party has answered. Any context; also before the commit, which counts as a party of its
 * own. */
void iommu_batch_answer(struct iommu_batch *b);

/* Post the invalidations and end the gather. Never waits, never fails; an empty gather gives its
 * batch back at once. `frames_held`: frames that the caller keeps until the release, for the
 * accounting. */
void iommu_gather_commit(struct iommu_gather *g, u64 frames_held);

/* --- devices -------------------------------------------------------------- */

/* NULL if the device can be given to a domain, else why not. trusted: also if the firmware has
 * reserved memory for the device, which the device then reaches. */
const char *iommu_why_not(struct pci_id dev, bool trusted);
/* The device will be attached to d. If nothing is mapped in d, what is mapped from now on needs no
 * more from the units than they can do, and no less than the units of d's devices can. Without this
 * it is what all units can do. Any context. */
void iommu_expect(struct iommu_domain *d, struct pci_id dev);
/* NULL if the device can use what is mapped in d, else why not. */
const char *iommu_why_not_beside(const struct iommu_domain *d, struct pci_id dev);
/* Nr frames were cleared, which devices may reach next: if there is a unit that lets devices bypass
 * the CPU's caches, write the zeros back. */
void iommu_cleared(mfn_t mfn, u64 nr);
/* NULL if the device's own TLB can be used, else why not. */
const char *iommu_why_no_ats(struct pci_id dev);

/* A flag of iommu_attach(): switch the device's own TLB on. Requests that the device has translated
 * itself are then not checked, except that it is attached. So the device is trusted with all of
 * memory; the administrator must have asked for it. */
#define IOMMU_ATS 1u
/* Let the device use d's tables. The caller has bus mastering off. -ENODEV: no unit covers the
 * device, iommu_why_no_ats() or iommu_why_not_beside(); -EBUSY: a domain has it; -EAGAIN: what an
 * attaching that failed had mapped for it is not gone yet, or d has no batch for its reserved
 * memory; -ENOSPC; and the errors of iommu_map() for its reserved memory. No lock held. */
int __must_check iommu_attach(struct iommu_domain *d, struct pci_id dev, u32 flags);
/* Stop and block the device. done(arg) is called when it can use no translation any more: from this
 * call, in interrupt context, or from deferred work. done is not NULL. */
void iommu_detach(struct pci_id dev, void (*done)(void *arg), void *arg);

enum iommu_device_state {
	IOMMU_DEVICE_FREE,
	IOMMU_DEVICE_ATTACHED,
	IOMMU_DEVICE_QUARANTINED, /* attached, but blocked because it misbehaved */
	IOMMU_DEVICE_DETACHING,
};
enum iommu_device_state iommu_device_state(struct pci_id dev);

enum iommu_event {
	IOMMU_EVENT_FAULT, /* a recorded fault of the device */
	IOMMU_EVENT_QUARANTINED, /* the device is quarantined from now on */
};
/* Called when something happened to a device of the domain `owner`, or of no domain (OWNER_NONE).
 * Deferred work, no lock held. */
void iommu_set_event_hook(void (*hook)(u16 owner, struct pci_id dev, enum iommu_event event));

/* --- interrupt remapping (VT-d chapter 5) --------------------------------- */

/* Devices that domains can have, all together. */
#define MAX_DEVICES 64u
/* How many entries a device has: as many MSI and MSI-X vectors can be used at once. */
#define IOMMU_IRTES 64u
/* The remapping entries of a device; they verify the source id. */
struct iommu_irtes {
	struct pci_id dev;
	u16 first; /* in the unit's table */
	u16 unit;
	bool valid;
};
/* Reserve a device's entries; each is blocked until it is set. in_force(arg, entries) is called
 * when the unit is known to deliver these entries (bit i: entry i) as they were set last: only then
 * may the device send their messages. It is called in interrupt context or from deferred work, with
 * no lock held; it may be NULL. -ENODEV without remapping, -ENOSPC when the table is full, which a
 * device that has just been detached may cause for a moment. */
int __must_check iommu_irtes_alloc(struct iommu_irtes *e, struct pci_id dev,
				   void (*in_force)(void *arg, u64 entries), void *arg);
/* Deliver entry i to `vector` on the CPU with this APIC id. The invalidation is posted, not waited
 * for: until it completes, messages may be faults, or still go to the old place. */
void iommu_irtes_set(const struct iommu_irtes *e, u32 i, u32 apic_id, u8 vector);
/* Block all entries, or deliver all that are set. What is set while they are blocked is delivered
 * later. As above. */
void iommu_irtes_block(const struct iommu_irtes *e, bool blocked);
/* Block the entries at once; they are free for reuse when their invalidation has completed.
 * done(arg) is called then, in interrupt context: from there on the device cannot raise a vector
 * any more, and in_force() is not called. done may be NULL. */
void iommu_irtes_free(struct iommu_irtes *e, void (*done)(void *arg), void *arg);
/* The message in remappable format that the device must send for entry i: what to write to its MSI
 * or MSI-X registers. */
void iommu_irtes_message(const struct iommu_irtes *e, u32 i, u64 *address, u32 *data);

/* --- inspection ----------------------------------------------------------- */

/* The entries that a walk for dfn meets in the tables of owner's domain, from the root down.
 * Returns how many; 0 if it has no tables. *mfn: the page that the last entry names, present or
 * waiting for its release, or INVALID_MFN. */
unsigned int iommu_walk_owner(u16 owner, dfn_t dfn, u64 entry[5], mfn_t *mfn);
/* The level of a walk's first entry. */
unsigned int iommu_levels(void);
enum iommu_entry { IOMMU_ENTRY_EMPTY, IOMMU_ENTRY_PRESENT, IOMMU_ENTRY_WAITS };
/* What an entry says; *perm: IOMMU_READ, IOMMU_WRITE, if it is present. */
enum iommu_entry iommu_entry_kind(u64 entry, u32 *perm);

struct weir_stats;
struct weir_trace_event;
struct weir_unit_stats;
/* Fill the io_, batch, invalidation and latency members. */
void iommu_domain_stats(const struct iommu_domain *d, struct weir_stats *s);
/* The counters of a unit, by its index in the DMAR table. False: there is none. */
bool iommu_unit_stats(u32 unit, struct weir_unit_stats *s);
/* Record what happens to pages too (mappings, commits, answers, releases), or only what happens to
 * devices, as at boot. Returns what it was. Any context. */
bool iommu_trace_pages(bool on);
/* Copy up to max events from number *from on, oldest first. Returns how many; *from: where to go
 * on. */
u32 iommu_trace_read(u64 *from, struct weir_trace_event *out, u32 max);
