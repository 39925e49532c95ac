/* The ring of a unit's invalidation queue (VT-d 6.5.2): submission and completion. What happens
 * after an error: iommu/queueerror.c.
 *
 *	             posted (oldest first)                        waiting
 *	   +---------+---------+---------+- - - - - - -+
 *	   | request | request | request |  free       |  <- request <- request
 *	   +---------+---------+---------+- - - - - - -+
 *	             ^ IQH               ^ IQT = tail
 *
 *	   a request in the ring:   invalidation ... | wait FN SW | wait IF |
 *
 * The ring's rule: the entries in use never fill it, since IQH = IQT means empty. A request that
 * finds no room is kept in `waiting` and posted by the interrupt handler, which is what makes room.
 * So nobody busy-waits. A request is linked before IQT moves: its completion may come at once.
 *
 * What is done: each request's first wait has the fence flag and writes the request's sequence
 * number. So the numbers arrive in order, and one status word per unit is enough: everything up to
 * its value is done. The second wait raises the completion event; the two are apart since some
 * emulators abort on both flags in one.
 *
 * Reuse cannot confuse the status word, because the numbers only go up, and a request that is
 * posted again gets a new one. After a time-out an old copy of it may still be in the ring. The
 * number that this copy writes is lower than that of every request posted since, so it completes
 * none of them.
 *
 * No interrupt is lost: while ICS.IWC is set, none is raised. The handler clears IWC first and
 * reads the status word after; a request that is done in between finds IWC clear and raises the
 * next interrupt. Before the handler returns, it looks again.
 */
#include <iommu/queue.h>

#include <iommu/hw.h>
#include <iommu/late.h>
#include <iommu/unit.h>
#include <kernel/core/clock.h>
#include <kernel/core/irq.h>
#include <kernel/core/paging.h>
#include <kernel/core/panic.h>
#include <kernel/core/work.h>
#include <kernel/lib/atomic.h>
#include <kernel/lib/errno.h>
#include <kernel/mm/alloc.h>
#include <kernel/mm/frame.h>

#define ENTRIES_OF_A_LINE 4 /* of the cache */
#define BOOT_TIMEOUT_NS 2000000000UL

_Static_assert(RING_ENTRIES * sizeof(struct qi_desc) == PAGE_SIZE, "11.4.8.4");

static inline struct qi_desc status_wait(const struct iommu_queue *q, const struct iommu_request *r)
{
	return (struct qi_desc){ QI_TYPE_WAIT | QI_WAIT_FN | QI_WAIT_SW |
					 FIELD_PREP(QI_WAIT_DATA, r->sequence),
				 q->status_address };
}

static const struct qi_desc interrupt_wait = { QI_TYPE_WAIT | QI_WAIT_FN | QI_WAIT_IF, 0 };

struct qi_desc queue_entry_of(const struct iommu_queue *q, const struct iommu_request *r, u32 i)
{
	return i < r->nr ? r->desc[i] : i == r->nr ? status_wait(q, r) : interrupt_wait;
}

/* --- submission ----------------------------------------------------------- */

static bool has_room(const struct iommu_queue *q, const struct iommu_request *r)
{
	/* One more entry may be in use: a request that is done gives up its entries before the unit
	 * has taken its second wait. */
	return q->used + r->slots < RING_ENTRIES - 1;
}

/* Write r's entries into the ring. There is room. */
static inline void write_request(struct iommu_queue *q, struct iommu_request *r)
{
	struct qi_desc *ring = q->ring;
	u32 tail = q->tail;

	assert_locked(&q->lock);
	list_add_tail(&q->posted, &r->link);
	r->sequence = ++q->sequence;
	r->slot = tail;
	if (likely(r->slots == 3 && tail <= RING_ENTRIES - 3)) {
		struct qi_desc *at = &ring[tail];

		at[0] = r->desc[0];
		at[1] = status_wait(q, r);
		at[2] = interrupt_wait;
	} else {
		for (u32 i = 0; i < r->slots; i++)
			ring[(tail + i) % RING_ENTRIES] = queue_entry_of(q, r, i);
	}
	q->tail = (tail + r->slots) % RING_ENTRIES;
	q->used += r->slots;
	q->nr_posted++;
}

/* Write back the ring from this entry to the tail. */
static __noinline void write_back_ring(const struct iommu_unit *u, u32 from)
{
	const struct iommu_queue *q = &u->queue;

	if (q->tail < from) {
		unit_write_back(u, &q->ring[from], (RING_ENTRIES - from) * sizeof(struct qi_desc));
		from = 0;
	}
	unit_write_back(u, &q->ring[from], (q->tail - from) * sizeof(struct qi_desc));
}

/* The unit may take all that was written from this entry on. */
static inline void ring_doorbell(struct iommu_unit *u, u32 from)
{
	struct iommu_queue *q = &u->queue;

	assert_locked(&q->lock);
	if (likely(q->tail - from <= ENTRIES_OF_A_LINE))
		unit_write_back_ends(u, &q->ring[from], (const char *)&q->ring[q->tail] - 1);
	else
		write_back_ring(u, from);
	smp_mb();
	if (!late_post(u, q->tail * sizeof(struct qi_desc)))
		hw_write64(u->regs, IQT_REG, q->tail * sizeof(struct qi_desc));
}

void queue_post_waiting(struct iommu_unit *u)
{
	struct iommu_queue *q = &u->queue;
	u32 from = q->tail;

	assert_locked(&q->lock);
	while (!q->stuck && !list_empty(&q->waiting)) {
		struct iommu_request *r = list_first(&q->waiting, struct iommu_request, link);

		if (!has_room(q, r))
			break;
		list_del(&r->link);
		q->nr_waiting--;
		write_request(q, r);
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

		write_request(q, r);
		ring_doorbell(u, from);
	} else {
		list_add_tail(&q->waiting, &r->link);
		q->nr_waiting++;
	}
	spin_unlock(&q->lock);
}

/* --- completion ----------------------------------------------------------- */

bool queue_is_done(const struct iommu_queue *q, u32 sequence)
{
	return (s32)(late_status(q) - sequence) >= 0;
}

/* The oldest request if it is done, unlinked. */
static struct iommu_request *take_done_request(struct iommu_unit *u)
{
	struct iommu_queue *q = &u->queue;
	struct iommu_request *r = NULL;

	spin_lock(&q->lock);
	if (q->stale && queue_is_done(q, q->stale_until)) {
		q->used -= q->stale;
		q->stale = 0;
		queue_post_waiting(u);
	}
	if (!list_empty(&q->posted)) {
		r = list_first(&q->posted, struct iommu_request, link);
		if (queue_is_done(q, r->sequence)) {
			list_del(&r->link);
			q->used -= r->slots;
			q->completed++;
			q->bad_slot = RING_ENTRIES;
			queue_post_waiting(u);
		} else {
			r = NULL;
		}
	}
	spin_unlock(&q->lock);
	return r;
}

void queue_finish_done(struct iommu_unit *u)
{
	struct iommu_request *r;

	while ((r = take_done_request(u)))
		r->done(r);
}

static void completion_interrupt(void *arg)
{
	struct iommu_unit *u = arg;
	u32 ics;

	u->queue.interrupts++;
	do {
		hw_write32(u->regs, ICS_REG, ICS_IWC);
		if (!late_answer(u, queue_finish_done))
			queue_finish_done(u);
		ics = hw_read32(u->regs, ICS_REG);
	} while ((ics & ICS_IWC) && ics != ~0u);
	if (ics == ~0u) /* the unit is gone */
		work_queue(&u->fault_work);
}

/* --- recovery ------------------------------------------------------------- */

u32 queue_head(struct iommu_unit *u)
{
	return (u32)(hw_read64(u->regs, IQH_REG) / sizeof(struct qi_desc)) % RING_ENTRIES;
}

struct iommu_request *queue_request_at(struct iommu_queue *q, u32 slot)
{
	struct iommu_request *r;

	assert_locked(&q->lock);
	list_for_each(r, &q->posted, link)
		if ((slot + RING_ENTRIES - r->slot) % RING_ENTRIES < r->slots)
			return r;
	return NULL;
}

void queue_take_back(struct iommu_unit *u, const struct iommu_request *culprit)
{
	struct iommu_queue *q = &u->queue;

	assert_locked(&q->lock);
	q->used -= q->stale;
	while (!list_empty(&q->posted)) {
		struct iommu_request *r = container_of(q->posted.prev, struct iommu_request, link);

		if (queue_is_done(q, r->sequence))
			break;
		list_del(&r->link);
		q->used -= r->slots;
		if (r != culprit) {
			list_add_head(&q->waiting, &r->link);
			q->nr_waiting++;
		}
	}
	/* Only what the unit has not taken: a wait that it has taken may be aborted, and then
	 * nothing behind it would say when the unit is past it. */
	q->stale = (q->tail + RING_ENTRIES - queue_head(u)) % RING_ENTRIES;
	q->used += q->stale;
	q->stale_until = q->sequence;
}

/* --- start ---------------------------------------------------------------- */

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

/* --- submission during boot ----------------------------------------------- */

static void sleeper_done(struct iommu_request *r)
{
	r->nr = 0;
}

static void wake_sleeper(struct timer *t __unused)
{
}

int queue_submit_and_sleep(struct iommu_unit *u, struct iommu_request *r)
{
	u64 deadline = clock_ns() + BOOT_TIMEOUT_NS;
	struct timer t;

	r->done = sleeper_done;
	queue_submit(u, r);
	timer_init(&t, wake_sleeper);
	timer_set(&t, deadline);
	while (r->nr && clock_ns() < deadline)
		if (!work_run())
			irq_wait();
	timer_cancel(&t);
	if (!r->nr)
		return 0;
	/* The request's memory is the caller's, and may be gone when the unit comes to life. No
	 * interrupt comes in between. */
	spin_lock(&u->queue.lock);
	list_del(&r->link);
	u->queue.stuck = true;
	spin_unlock(&u->queue.lock);
	return -ETIMEDOUT;
}
