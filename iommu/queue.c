/* The invalidation queue.
 *
 *	             posted (oldest first)                        waiting
 *	   +---------+---------+---------+- - - - - - -+
 *	   | request | request | request |  free       |  <- request <- request
 *	   +---------+---------+---------+- - - - - - -+
 *	             ^ IQH               ^ IQT = tail
 *
 *	   a request in the ring:   invalidation ... | wait FN SW | wait IF |
 *
 * The ring's rule: the entries in use never fill it, since IQH = IQT means empty. A request that finds no room is kept in
 * `waiting` and posted by the interrupt handler, which is what makes room; so nobody waits in place. A request is linked
 * before IQT moves: its completion may come at once.
 *
 * What is done: each request's first wait has the fence flag and writes the request's sequence number, so the numbers
 * arrive in order and one status word a unit is enough: everything up to its value is done. The word can not be fooled
 * by reuse, as the numbers only go up, and a request is never in the ring twice. The second wait raises the completion
 * event; the two are apart since some emulators abort on both flags in one.
 *
 * No interrupt is lost: while ICS.IWC is set, none is raised. The handler clears IWC first and reads the status word
 * after; a request that is done between finds IWC clear and raises the next interrupt. Before it returns it looks again.
 *
 * Errors (6.5.2.10). A device that does not answer its device-TLB invalidation in time sets ITE: the unit aborts the waits
 * that are pending, and takes no more descriptors until ITE is cleared. Newer units name the device (IQERCD); else it is the one
 * whose descriptor was taken last, since each request ends in a fence. That request fails. All others that are not done
 * are posted again behind, in their order, with new numbers: which of their waits were aborted need not be known, and doing
 * an invalidation twice is harmless. Of the entries they had, those that the unit has not taken are stale until it is past them.
 * A descriptor that the unit does not take (IQE) is overwritten with a harmless one.
 */
#include <iommu/queue.h>

#include <iommu/device.h>
#include <iommu/hw.h>
#include <iommu/late.h>
#include <iommu/trace.h>
#include <iommu/unit.h>
#include <kernel/mm/alloc.h>
#include <kernel/lib/atomic.h>
#include <kernel/core/clock.h>
#include <kernel/lib/errno.h>
#include <kernel/mm/frame.h>
#include <kernel/core/irq.h>
#include <kernel/core/log.h>
#include <kernel/core/paging.h>
#include <kernel/core/panic.h>
#include <kernel/core/work.h>

#define RING_ENTRIES 256u /* IQA.QS = 0: one page */
#define BOOT_TIMEOUT_NS 2000000000UL

_Static_assert(RING_ENTRIES * sizeof(struct qi_desc) == PAGE_SIZE, "11.4.8.4");

struct qi_desc qi_context_global(void)
{
	return (struct qi_desc){ QI_TYPE_CONTEXT | QI_GLOBAL, 0 };
}

struct qi_desc qi_context_device(u16 did, u16 sid)
{
	return (struct qi_desc){ QI_TYPE_CONTEXT | QI_DEVICE | FIELD_PREP(QI_DID, did) |
					 FIELD_PREP(QI_CONTEXT_SID, sid),
				 0 };
}

/* Reads and writes that are under way are drained where the unit can: they may carry an old
 * translation. */
static u64 drain(const struct iommu_unit *u)
{
	return (u->cap & CAP_DRD ? QI_IOTLB_DR : 0) | (u->cap & CAP_DWD ? QI_IOTLB_DW : 0);
}

struct qi_desc qi_iotlb_global(const struct iommu_unit *u)
{
	return (struct qi_desc){ QI_TYPE_IOTLB | QI_GLOBAL | drain(u), 0 };
}

struct qi_desc qi_iotlb_domain(const struct iommu_unit *u, u16 did)
{
	return (struct qi_desc){ QI_TYPE_IOTLB | QI_DOMAIN | drain(u) | FIELD_PREP(QI_DID, did), 0 };
}

struct qi_desc qi_iotlb_pages(const struct iommu_unit *u, u16 did, u64 dfn, u32 am, bool leaf_only)
{
	return (struct qi_desc){ QI_TYPE_IOTLB | QI_PAGE | drain(u) | FIELD_PREP(QI_DID, did),
				 (dfn << PAGE_SHIFT & QI_IOTLB_ADDR) | FIELD_PREP(QI_IOTLB_AM, am) |
					 (leaf_only ? QI_IOTLB_IH : 0) };
}

struct qi_desc qi_device_tlb(const struct iommu_unit *u, u16 sid, u32 depth, u64 first, u64 last)
{
	u32 order = first == last ? 0 : 64 - (u32)__builtin_clzl(first ^ last);
	/* Bits below the lowest zero bit are ones: 2^order pages. All bits: everything. */
	u64 size = order ? (1UL << (MIN(order, 51u) - 1)) - 1 : 0,
	    dfn = ALIGN_DOWN(first, 1UL << order);
	struct qi_desc desc = {
		QI_TYPE_DEVICE_TLB | FIELD_PREP(QI_DEVICE_TLB_SID, sid) |
			FIELD_PREP(QI_DEVICE_TLB_MAX_PENDING, depth & 31),
		((dfn | size) << PAGE_SHIFT & QI_DEVICE_TLB_ADDR) | (order ? QI_DEVICE_TLB_S : 0),
	};

	if (u->ecap & ECAP_DIT)
		desc.lo |= FIELD_PREP(QI_DEVICE_TLB_PFSID_LO, sid & 0xf) |
			   FIELD_PREP(QI_DEVICE_TLB_PFSID_HI, sid >> 4);
	return desc;
}

struct qi_desc qi_iec_index(u16 index)
{
	return (struct qi_desc){ QI_TYPE_IEC | QI_IEC_INDEX | FIELD_PREP(QI_IEC_IIDX, index), 0 };
}

struct qi_desc qi_iec_global(void)
{
	return (struct qi_desc){ QI_TYPE_IEC, 0 };
}

static inline struct qi_desc wait_for_status(const struct iommu_queue *q, const struct iommu_request *r)
{
	return (struct qi_desc){ QI_TYPE_WAIT | QI_WAIT_FN | QI_WAIT_SW |
					 FIELD_PREP(QI_WAIT_DATA, r->sequence),
				 q->status_address };
}

static const struct qi_desc wait_for_interrupt = { QI_TYPE_WAIT | QI_WAIT_FN | QI_WAIT_IF, 0 };

/* What stands at the i-th of r's entries in the ring. */
static struct qi_desc descriptor_of(const struct iommu_queue *q, const struct iommu_request *r, u32 i)
{
	return i < r->nr ? r->desc[i] : i == r->nr ? wait_for_status(q, r) : wait_for_interrupt;
}

static bool has_room(const struct iommu_queue *q, const struct iommu_request *r)
{
	/* One entry more may be in use: a request that is done gives up its own before its second wait is taken. */
	return q->used + r->slots < RING_ENTRIES - 1;
}

/* Write r's entries into the ring. Locked, and there is room. */
static inline void put_request(struct iommu_queue *q, struct iommu_request *r)
{
	struct qi_desc *ring = q->ring;
	u32 tail = q->tail;

	list_add_tail(&q->posted, &r->link);
	r->sequence = ++q->sequence;
	r->slot = tail;
	for (u32 i = 0; i < r->nr; i++, tail++)
		ring[tail % RING_ENTRIES] = r->desc[i];
	ring[tail++ % RING_ENTRIES] = wait_for_status(q, r);
	ring[tail++ % RING_ENTRIES] = wait_for_interrupt;
	q->tail = tail % RING_ENTRIES;
	q->used += r->slots;
	q->nr_posted++;
}

/* The unit may take all that was written from this entry on. Locked. */
static void ring_doorbell(struct iommu_unit *u, u32 from)
{
	struct iommu_queue *q = &u->queue;

	if (q->tail < from) {
		iommu_write_back(&q->ring[from], (RING_ENTRIES - from) * sizeof(struct qi_desc));
		from = 0;
	}
	iommu_write_back(&q->ring[from], (q->tail - from) * sizeof(struct qi_desc));
	smp_mb();
	if (!late_post(u, q->tail * sizeof(struct qi_desc)))
		hw_write64(u->regs, IQT_REG, q->tail * sizeof(struct qi_desc));
}

/* Post what waits, as far as there is room, with one write of IQT. Locked. */
static void post_waiting(struct iommu_unit *u)
{
	struct iommu_queue *q = &u->queue;
	u32 from = q->tail;

	while (!q->stuck && !list_empty(&q->waiting)) {
		struct iommu_request *r = list_first(&q->waiting, struct iommu_request, link);

		if (!has_room(q, r))
			break;
		list_del(&r->link);
		q->nr_waiting--;
		put_request(q, r);
	}
	if (q->tail != from)
		ring_doorbell(u, from);
}

void queue_submit(struct iommu_unit *u, struct iommu_request *r)
{
	struct iommu_queue *q = &u->queue;

	BUG_ON(r->nr > REQUEST_MAX_DESCS);
	r->slots = r->nr + 2;
	r->failed = false;
	spin_lock(&q->lock);
	if (likely(!q->nr_waiting && !q->stuck && has_room(q, r))) {
		u32 from = q->tail;

		put_request(q, r);
		ring_doorbell(u, from);
	} else {
		list_add_tail(&q->waiting, &r->link);
		q->nr_waiting++;
	}
	spin_unlock(&q->lock);
}

static bool is_done(const struct iommu_queue *q, u32 sequence)
{
	return (s32)(late_status(q) - sequence) >= 0;
}

/* The oldest request if it is done, unlinked. */
static struct iommu_request *take_done(struct iommu_unit *u)
{
	struct iommu_queue *q = &u->queue;
	struct iommu_request *r = NULL;

	spin_lock(&q->lock);
	if (q->stale && is_done(q, q->stale_until)) {
		q->used -= q->stale;
		q->stale = 0;
		post_waiting(u);
	}
	if (!list_empty(&q->posted)) {
		r = list_first(&q->posted, struct iommu_request, link);
		if (is_done(q, r->sequence)) {
			list_del(&r->link);
			q->used -= r->slots;
			q->completed++;
			q->bad_slot = RING_ENTRIES;
			post_waiting(u);
		} else {
			r = NULL;
		}
	}
	spin_unlock(&q->lock);
	return r;
}

static void finish_done(struct iommu_unit *u)
{
	struct iommu_request *r;

	while ((r = take_done(u)))
		r->done(r);
}

static void completion_interrupt(void *arg)
{
	struct iommu_unit *u = arg;

	u->queue.interrupts++;
	do {
		hw_write32(u->regs, ICS_REG, ICS_IWC);
		if (!late_answer(u, finish_done))
			finish_done(u);
	} while (hw_read32(u->regs, ICS_REG) & ICS_IWC);
}

int queue_init(struct iommu_unit *u)
{
	struct iommu_queue *q = &u->queue;
	u64 address;
	int vector;
	u32 data;

	list_init(&q->posted);
	list_init(&q->waiting);
	q->bad_slot = RING_ENTRIES;
	q->ring = alloc_page();
	q->status = alloc_page();
	if (!q->ring || !q->status)
		return -ENOMEM;
	q->status_address = virt_to_phys((void *)q->status);
	vector = irq_alloc(0, completion_interrupt, u);
	if (vector < 0)
		return vector;

	irq_msi_message(0, vector, &address, &data);
	hw_write32(u->regs, IEDATA_REG, data);
	hw_write32(u->regs, IEADDR_REG, (u32)address);
	hw_write32(u->regs, IEUADDR_REG, (u32)(address >> 32));
	hw_write32(u->regs, ICS_REG, ICS_IWC);
	hw_write32(u->regs, IECTL_REG, 0);

	hw_write64(u->regs, IQT_REG, 0);
	hw_write64(u->regs, IQA_REG, virt_to_phys(q->ring));
	return unit_command(u, GCMD_QIE, true) ? 0 : -EIO;
}

static void sleeper_done(struct iommu_request *r)
{
	r->nr = 0;
}

static void wake_up(struct timer *t __unused)
{
}

int queue_submit_and_sleep(struct iommu_unit *u, struct iommu_request *r)
{
	u64 deadline = clock_ns() + BOOT_TIMEOUT_NS;
	struct timer t;

	r->done = sleeper_done;
	queue_submit(u, r);
	timer_init(&t, wake_up);
	timer_set(&t, deadline);
	while (r->nr && clock_ns() < deadline)
		if (!work_run())
			irq_wait();
	timer_cancel(&t);
	if (!r->nr)
		return 0;
	/* Its memory is the caller's, and may be gone when the unit comes to life. No interrupt comes in between. */
	spin_lock(&u->queue.lock);
	list_del(&r->link);
	u->queue.stuck = true;
	spin_unlock(&u->queue.lock);
	return -ETIMEDOUT;
}

/* --- errors ----------------------------------------------------------------------------------------------------------------- */

static u32 head_of(struct iommu_unit *u)
{
	return (u32)(hw_read64(u->regs, IQH_REG) / sizeof(struct qi_desc)) % RING_ENTRIES;
}

/* Who did not answer: whom the unit names, else whose descriptor it took last. Fences let it get no further than the two waits
 * behind that. 0: nobody. Locked. */
static u16 silent_device(struct iommu_unit *u)
{
	u16 sid = (u16)FIELD_GET(IQERCD_ITESID, hw_read64(u->regs, IQERCD_REG));
	u32 head = head_of(u);

	for (u32 i = 1; !sid && i <= 3; i++) {
		const struct qi_desc *d = &u->queue.ring[(head + RING_ENTRIES - i) % RING_ENTRIES];

		if ((d->lo & QI_TYPE) == QI_TYPE_DEVICE_TLB)
			sid = (u16)FIELD_GET(QI_DEVICE_TLB_SID, d->lo);
	}
	return sid;
}

/* The request that timed out. NULL: it has failed before, and what the unit met now was an old copy. Locked. */
static struct iommu_request *timed_out(struct iommu_queue *q, u16 sid)
{
	struct iommu_request *r;

	list_for_each(r, &q->posted, link)
		if (r->device_tlb && !is_done(q, r->sequence) &&
		    FIELD_GET(QI_DEVICE_TLB_SID, r->desc[0].lo) == sid)
			return r;
	return NULL;
}

/* What is posted and not done goes to the front of those that wait, but for `culprit`, which is unlinked. Locked. */
static void take_back(struct iommu_unit *u, const struct iommu_request *culprit)
{
	struct iommu_queue *q = &u->queue;

	q->used -= q->stale;
	while (!list_empty(&q->posted)) {
		struct iommu_request *r = container_of(q->posted.prev, struct iommu_request, link);

		if (is_done(q, r->sequence))
			break;
		list_del(&r->link);
		q->used -= r->slots;
		if (r != culprit)
			list_add_head(&q->waiting, &r->link), q->nr_waiting++;
	}
	/* Only what the unit has not taken: a wait that it has may be aborted, and nothing behind would say when it is past. */
	q->stale = (q->tail + RING_ENTRIES - head_of(u)) % RING_ENTRIES;
	q->used += q->stale;
	q->stale_until = q->sequence;
}

static void recover_time_out(struct iommu_unit *u)
{
	struct iommu_queue *q = &u->queue;
	struct iommu_request *culprit;
	u16 sid;

	spin_lock(&q->lock);
	sid = silent_device(u);
	culprit = timed_out(q, sid);
	take_back(u, culprit);
	hw_write32(u->regs, FSTS_REG, FSTS_ITE);
	post_waiting(u);
	spin_unlock(&q->lock);
	if (!sid || !device_blame(u, sid, "it does not answer the invalidation of its TLB"))
		log_err("iommu: unit %u: an invalidation timed out, of a device that nobody has",
			u->index);
	if (!culprit)
		return;
	culprit->failed = true;
	culprit->done(culprit);
}

/* Whose descriptor lies at slot; NULL: nobody's that waits. Locked. */
static struct iommu_request *request_at(struct iommu_queue *q, u32 slot)
{
	struct iommu_request *r;

	list_for_each(r, &q->posted, link)
		if ((slot + RING_ENTRIES - r->slot) % RING_ENTRIES < r->slots)
			return r;
	return NULL;
}

/* The unit stands at a descriptor that it does not take. A device-TLB invalidation it may refuse because of the device; any
 * other is put there again, for something has damaged it, and if that does not help the whole IOTLB is flushed instead. */
static void recover_bad_descriptor(struct iommu_unit *u)
{
	struct iommu_queue *q = &u->queue;
	struct iommu_request *r;
	struct qi_desc bad, *at;
	bool blame = false;
	u32 slot;

	spin_lock(&q->lock);
	slot = head_of(u);
	at = &q->ring[slot];
	bad = *at;
	r = request_at(q, slot);
	q->stuck = slot == q->bad_slot;
	q->bad_slot = slot;
	if (r && r->device_tlb && slot == r->slot) {
		r->failed = blame = true;
		*at = qi_iotlb_global(u);
	} else {
		*at = r ? descriptor_of(q, r, (slot + RING_ENTRIES - r->slot) % RING_ENTRIES) :
			  qi_iotlb_global(u);
	}
	iommu_write_back(at, sizeof(*at));
	if (!q->stuck) {
		hw_write32(u->regs, FSTS_REG, FSTS_IQE);
		hw_write64(u->regs, IQT_REG, q->tail * sizeof(struct qi_desc));
	}
	spin_unlock(&q->lock);
	log_err("iommu: unit %u does not take the invalidation descriptor %016lx %016lx (IQERCD %lx)%s",
		u->index, bad.lo, bad.hi, hw_read64(u->regs, IQERCD_REG),
		q->stuck ? " again: its queue is dead; what its devices can reach is kept for ever" :
			   "");
	if (blame)
		(void)device_blame(u, (u16)FIELD_GET(QI_DEVICE_TLB_SID, bad.lo),
				   "the unit cannot invalidate its TLB");
}

void queue_error(struct iommu_unit *u, u32 fsts)
{
	u->queue.errors++;
	trace(WEIR_TRACE_ERROR, OWNER_NONE, (u16)u->index, fsts, hw_read64(u->regs, IQERCD_REG));
	if (fsts & FSTS_IQE)
		recover_bad_descriptor(u);
	if (fsts & FSTS_ICE) {
		u16 sid = (u16)FIELD_GET(IQERCD_ICESID, hw_read64(u->regs, IQERCD_REG));

		hw_write32(u->regs, FSTS_REG, FSTS_ICE);
		if (!sid || !device_blame(u, sid, "it answered an invalidation that nobody asked for"))
			log_err("iommu: unit %u: an answer to an invalidation that nobody asked for",
				u->index);
	}
	if (fsts & FSTS_ITE)
		recover_time_out(u);
	finish_done(u);
}
