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
 */
#include <iommu/queue.h>

#include <iommu/hw.h>
#include <iommu/unit.h>
#include <kernel/alloc.h>
#include <kernel/atomic.h>
#include <kernel/clock.h>
#include <kernel/errno.h>
#include <kernel/frame.h>
#include <kernel/irq.h>
#include <kernel/log.h>
#include <kernel/paging.h>
#include <kernel/panic.h>

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

struct qi_desc qi_iec_index(u16 index)
{
	return (struct qi_desc){ QI_TYPE_IEC | QI_IEC_INDEX | FIELD_PREP(QI_IEC_IIDX, index), 0 };
}

struct qi_desc qi_iec_global(void)
{
	return (struct qi_desc){ QI_TYPE_IEC, 0 };
}

static void put(struct iommu_queue *q, struct qi_desc d)
{
	q->ring[q->tail] = d;
	iommu_write_back(&q->ring[q->tail], sizeof(d));
	q->tail = (q->tail + 1) % RING_ENTRIES;
	q->used++;
}

/* Post what waits, as far as there is room, with one write of IQT. Locked. */
static void post_waiting(struct iommu_unit *u)
{
	struct iommu_queue *q = &u->queue;
	bool posted = false;

	while (!list_empty(&q->waiting)) {
		struct iommu_request *r = list_first(&q->waiting, struct iommu_request, link);

		if (q->used + r->slots >= RING_ENTRIES)
			break;
		list_del(&r->link);
		r->sequence = ++q->sequence;
		for (u32 i = 0; i < r->nr; i++)
			put(q, r->desc[i]);
		put(q, (struct qi_desc){ QI_TYPE_WAIT | QI_WAIT_FN | QI_WAIT_SW |
						 FIELD_PREP(QI_WAIT_DATA, r->sequence),
					 virt_to_phys((void *)q->status) });
		put(q, (struct qi_desc){ QI_TYPE_WAIT | QI_WAIT_FN | QI_WAIT_IF, 0 });
		list_add_tail(&q->posted, &r->link);
		posted = true;
	}
	if (posted) {
		smp_mb();
		hw_write64(u->regs, IQT_REG, q->tail * sizeof(struct qi_desc));
	}
}

void queue_submit(struct iommu_unit *u, struct iommu_request *r)
{
	struct iommu_queue *q = &u->queue;

	BUG_ON(r->nr > REQUEST_MAX_DESCS);
	r->slots = r->nr + 2;
	spin_lock(&q->lock);
	list_add_tail(&q->waiting, &r->link);
	post_waiting(u);
	spin_unlock(&q->lock);
}

/* The oldest request if it is done, unlinked. */
static struct iommu_request *take_done(struct iommu_unit *u)
{
	struct iommu_queue *q = &u->queue;
	struct iommu_request *r = NULL;

	spin_lock(&q->lock);
	if (!list_empty(&q->posted)) {
		r = list_first(&q->posted, struct iommu_request, link);
		if ((s32)(load_acquire(q->status) - r->sequence) >= 0) {
			list_del(&r->link);
			q->used -= r->slots;
			post_waiting(u);
		} else {
			r = NULL;
		}
	}
	spin_unlock(&q->lock);
	return r;
}

static void completion_interrupt(void *arg)
{
	struct iommu_unit *u = arg;
	struct iommu_request *r;

	u->queue.interrupts++;
	do {
		hw_write32(u->regs, ICS_REG, ICS_IWC);
		while ((r = take_done(u)))
			r->done(r);
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
	q->ring = alloc_page();
	q->status = alloc_page();
	if (!q->ring || !q->status)
		return -ENOMEM;
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
		irq_wait();
	timer_cancel(&t);
	return r->nr ? -ETIMEDOUT : 0;
}

void queue_error(struct iommu_unit *u, u32 fsts)
{
	if (fsts & FSTS_IQE) {
		u32 head = (u32)(hw_read64(u->regs, IQH_REG) / sizeof(struct qi_desc)) % RING_ENTRIES;

		/* Weir itself composed it, and what it covers can never be released. */
		panic("iommu: unit %u does not accept the invalidation descriptor %016lx %016lx",
		      u->index, u->queue.ring[head].lo, u->queue.ring[head].hi);
	}
	if (fsts & (FSTS_ICE | FSTS_ITE)) {
		/* Only device-TLB invalidations time out, and no device has ATS enabled. */
		log_err("iommu: unit %u: invalidation %s without a device TLB in use", u->index,
			fsts & FSTS_ITE ? "time-out" : "completion error");
		hw_write32(u->regs, FSTS_REG, fsts & (FSTS_ICE | FSTS_ITE));
	}
}
