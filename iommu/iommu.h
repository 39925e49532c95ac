/* Weir's IOMMU subsystem as the rest of the hypervisor sees it (Intel VT-d, revision 4.1 of the specification).
 *
 * The one rule: a page is never given back while any device can still reach it, through a second-stage table, the
 * paging-structure caches, the IOTLB or a device's own TLB. Each leaf entry holds a dev_tlb reference (kernel/mm/frame.h);
 * unmapping turns it into a tombstone that keeps the reference; the completion interrupt of the invalidation releases it.
 *
 *	gather_begin -> unmap/map ... -> commit -> (invalidation) -> interrupt -> release step by step -> done()
 *
 * Nothing here waits in place, and nothing between unmap and release allocates memory.
 */
#pragma once

#include <kernel/lib/compiler.h>
#include <kernel/lib/pci_id.h>
#include <kernel/lib/step.h>
#include <kernel/lib/types.h>

struct iommu_domain;
struct iommu_batch;

/* What the administrator said with `iommu=`. */
struct iommu_options {
	bool off; /* leave the units alone; nothing can be passed through */
	bool no_intremap;
};

/* Find the units in the DMAR table (NULL: there is none) and bring them up with translation on and
 * every device blocked, queued invalidation, interrupt remapping where offered. Needs irq_alloc(),
 * mmio_map() and the allocator. Whatever is wrong is logged in one line that names it; a unit that
 * fails leaves the devices it covers unassignable. Boot, bootstrap processor. Returns 0, or -ENODEV
 * when no unit works (the reason is kept for iommu_why_absent()). */
int iommu_init(const void *dmar, size_t length, const struct iommu_options *options);
/* NULL if devices can be passed through, else the reason in words, for the message to the
 * administrator. */
const char *iommu_why_absent(void);

/* --- domains -------------------------------------------------------------- */

/* Called when all of a batch has been answered, in work context, after its I/O tables were
 * released: one bounded step of the caller's own release (nested tables, giving frames back).
 * STEP_DONE: the batch is recycled. */
typedef enum step (*iommu_batch_step)(struct iommu_batch *b);

/* I/O address space of domain `owner` (the id that owns the frames). Works without any unit too:
 * then it has no tables, but batches still complete when all CPUs have answered. `wake` is called
 * (any context, no lock held) when a batch of the pool or a tombstone that a vCPU may wait for is
 * gone. `name` is for messages. -ENOMEM, -ENOSPC (domain ids). */
int __must_check iommu_domain_create(struct iommu_domain **out, u16 owner, const char *name,
				     void (*wake)(void *arg), void *arg);
/* All devices must have been detached. Unmaps everything; the tables go through the deferred path.
 * `done(arg)` comes (in work context) when every batch of the domain is finished, earlier ones'
 * user steps included; d is gone then. */
void iommu_domain_destroy(struct iommu_domain *d, void (*done)(void *arg), void *arg);

/* --- mapping -------------------------------------------------------------- */

#define IOMMU_READ 1u
#define IOMMU_WRITE 2u
/* With iommu_map(): the frames are nobody's memory (the firmware's reserved regions, or beyond all RAM). They are never given
 * back, so that their leaves hold no reference. */
#define IOMMU_NOT_RAM 4u

/* A change of one domain's tables that is being accumulated. On the caller's stack, declared by IOMMU_GATHER(name); must be
 * committed on every path: one that is dropped stops a debug build (make DEBUG=1) and says where. No lock is held between
 * begin and commit. */
struct iommu_gather {
	struct iommu_domain *domain;
	struct iommu_batch *batch;
	dfn_t first, last; /* range that must be flushed; first > last: nothing */
#ifdef WEIR_DEBUG
	const char *file;
	int line;
#endif
};

#ifdef WEIR_DEBUG
void iommu_gather_check(const struct iommu_gather *g);
#define IOMMU_GATHER(name)                                                                         \
	struct iommu_gather name                                                                   \
		__attribute__((cleanup(iommu_gather_check))) = { .file = __FILE__, .line = __LINE__ }
#else
#define IOMMU_GATHER(name) struct iommu_gather name
#endif

/* Take one of the domain's batches, with the tables that one ragged unmap can need. -EAGAIN: all of
 * them are in flight, try again after `wake`; -ENOMEM: no tables. Nothing to undo then. */
int __must_check iommu_gather_begin(struct iommu_gather *g, struct iommu_domain *d);

/* The largest leaf that all units know: log2 of its frames. */
unsigned int iommu_leaf_order(void);
/* Map nr frames from mfn at dfn with the largest leaves possible, taking one dev_tlb reference per
 * leaf. perm: IOMMU_READ, IOMMU_WRITE, IOMMU_NOT_RAM. -EAGAIN: a tombstone is in the way (wait for `wake`); -EEXIST: something else is mapped
 * there; -EPERM/-EBUSY: the frame table refused (owner, type); -ENOMEM; -ERANGE: beyond the width.
 * On failure what this call had mapped is unmapped again (into the gather). */
int __must_check iommu_map(struct iommu_gather *g, dfn_t dfn, mfn_t mfn, u64 nr, u32 perm);
/* Unmap nr frames from dfn; what is not mapped is skipped. Splits superpages at the ends. Cannot
 * fail for lack of memory: once a gather, since its reserve of tables serves two ragged ends. */
void iommu_unmap(struct iommu_gather *g, dfn_t dfn, u64 nr);

/* What the caller's own release step may use: small words that live as long as the batch. */
struct iommu_batch_user {
	iommu_batch_step step; /* NULL: nothing of the caller's to release */
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
/* It has. Any context; also before the commit, which counts as a party of its own. */
void iommu_batch_answer(struct iommu_batch *b);

/* Post the invalidations. Never waits, never fails; an empty gather gives its batch back at once.
 * `frames_held` is what the caller keeps until the release, for the accounting. Ends the gather. */
void iommu_gather_commit(struct iommu_gather *g, u64 frames_held);

/* --- devices -------------------------------------------------------------- */

/* Let the device use d's tables (context entry, context-cache and IOTLB invalidation where the specification asks).
 * -ENODEV: no unit covers it, or iommu_why_no_ats(); -EBUSY: it belongs to a domain already; -EAGAIN: what an
 * attaching that failed had mapped for it is not gone yet, or d has no batch for that; -ENOSPC, -ENOMEM. The caller has bus mastering
 * off. */
int __must_check iommu_attach(struct iommu_domain *d, struct pci_id dev, u32 flags);
/* flags of iommu_attach(): switch the device's own TLB on. The requests that it has translated itself are then checked for
 * nothing but that it is attached: the device is trusted with the whole memory, and so only if the administrator said so. */
#define IOMMU_ATS 1u
/* NULL if the device's own TLB can be used, else why not. */
const char *iommu_why_no_ats(struct pci_id dev);
/* Stop and block the device; done(arg), in interrupt context or at once, when no translation of it is left that it could
 * use. done is not NULL. */
void iommu_detach(struct pci_id dev, void (*done)(void *arg), void *arg);
enum iommu_device_state {
	IOMMU_DEVICE_FREE,
	IOMMU_DEVICE_ATTACHED,
	IOMMU_DEVICE_QUARANTINED, /* attached, but cut off for what it did */
	IOMMU_DEVICE_DETACHING,
};
enum iommu_device_state iommu_device_state(struct pci_id dev);
/* NULL if the device can be given to a domain, else why not (no unit, ...). Where the firmware has reserved memory for the
 * device, only to a trusted one, since its devices then reach that memory. */
const char *iommu_why_not(struct pci_id dev, bool trusted);

/* True if a unit's registers lie in [first, last]. */
bool iommu_overlaps(paddr_t first, paddr_t last);

/* --- interrupt remapping (chapter 5) -------------------------------------- */

/* One remapping entry of a device, verified by its source id. */
struct iommu_irte {
	struct pci_id dev;
	u16 index;
	u16 unit;
	bool valid;
};
/* Reserve an entry, blocked until set. -ENODEV without remapping, -ENOSPC when the table is
 * full. */
int __must_check iommu_irte_alloc(struct iommu_irte *e, struct pci_id dev);
/* Deliver to `vector` on the CPU with this APIC id; posted and flushed without waiting (until then
 * the old one holds). */
void iommu_irte_set(struct iommu_irte *e, u32 apic_id, u8 vector);
void iommu_irte_mask(struct iommu_irte *e);
/* Blocked at once; free for reuse when its invalidation has completed. Then done(arg) is
 * called, in interrupt context: from there on the device cannot raise the vector any more.
 * done may be NULL. */
void iommu_irte_free(struct iommu_irte *e, void (*done)(void *arg), void *arg);
/* The message in remappable format that the device must send: to be written to its MSI or MSI-X
 * registers. */
void iommu_irte_message(const struct iommu_irte *e, u64 *address, u32 *data);

/* --- to look at ----------------------------------------------------------- */

enum iommu_event {
	IOMMU_EVENT_FAULT, /* a recorded fault of the device */
	IOMMU_EVENT_QUARANTINED, /* it is quarantined from now on */
};
/* Called (interrupt context, no lock held) when something happened to a device; the domain that has it is `owner`, or
 * OWNER_NONE. */
void iommu_set_event_hook(void (*hook)(u16 owner, struct pci_id dev, enum iommu_event event));

/* The entries that a walk for dfn meets in the tables of owner's domain, from the root down: how many, 0 if it has no tables. *mfn: the page that the last one names, present or waiting for its release; INVALID_MFN:
 * none. */
unsigned int iommu_walk_owner(u16 owner, dfn_t dfn, u64 entry[5], mfn_t *mfn);
/* Levels of every domain's tables: that of a walk's first entry. */
unsigned int iommu_levels(void);
enum iommu_entry { IOMMU_ENTRY_EMPTY, IOMMU_ENTRY_PRESENT, IOMMU_ENTRY_WAITS };
/* What one of those says; *perm: IOMMU_READ, IOMMU_WRITE, while it is present. */
enum iommu_entry iommu_entry_kind(u64 entry, u32 *perm);

struct weir_stats;
struct weir_trace_event;
struct weir_unit_stats;
/* Fill the io_, batch, invalidation and latency members. */
void iommu_domain_stats(const struct iommu_domain *d, struct weir_stats *s);
/* True if a device of d is behind this unit. */
bool iommu_domain_uses(const struct iommu_domain *d, u32 unit);
/* Those of a unit, by its index in the DMAR table. False: there is none. */
bool iommu_unit_stats(u32 unit, struct weir_unit_stats *s);
/* Copy up to max events from number *from on, oldest first; how many. *from: where to go on. */
u32 iommu_trace_read(u64 *from, struct weir_trace_event *out, u32 max);
