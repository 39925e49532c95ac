/* The delay lines, two per unit: tails on their way to it, and status words on their way from it.
 * Both only go up, so a later value may take the place of an earlier one. */
#include <iommu/late.h>

#if defined(WEIR_DEBUG) && !defined(WEIR_HOST)
#include <kernel/core/clock.h>
#include <kernel/core/log.h>
#include <kernel/mm/alloc.h>

#define LINE 32u

struct line {
	/* Guards all below, and the order in which values leave the line. Taken after the
	 * queue's. */
	struct spinlock lock;
	struct timer timer;
	struct {
		u64 due;
		u32 value;
	} item[LINE];
	u32 first, nr;
};

static u64 posts_ns, answers_ns;
static struct late {
	struct line posts, answers;
	u32 seen; /* of the status word */
	late_look_fn look;
} *late; /* one per unit, or NULL */

static void put_value(struct line *l, u64 delay_ns, u32 value)
{
	u64 due = clock_ns() + delay_ns;

	spin_lock(&l->lock);
	if (l->nr < LINE)
		l->nr++;
	l->item[(l->first + l->nr - 1) % LINE].due = due;
	l->item[(l->first + l->nr - 1) % LINE].value = value;
	if (l->nr == 1)
		timer_set(&l->timer, due);
	spin_unlock(&l->lock);
}

/* Take the last value that is due. False: none is. */
static bool take_due_value(struct line *l, u32 *value)
{
	bool any = false;

	assert_locked(&l->lock);
	while (l->nr && l->item[l->first].due <= clock_ns()) {
		*value = l->item[l->first].value;
		l->first = (l->first + 1) % LINE;
		l->nr--;
		any = true;
	}
	if (l->nr)
		timer_set(&l->timer, l->item[l->first].due);
	return any;
}

static void post_due(struct timer *t)
{
	struct line *l = container_of(t, struct line, timer);
	u32 i = (u32)(container_of(l, __typeof__(late[0]), posts) - late), tail;

	spin_lock(&l->lock);
	if (take_due_value(l, &tail))
		hw_write64(iommu_units[i].regs, IQT_REG, tail);
	spin_unlock(&l->lock);
}

static void answer_due(struct timer *t)
{
	struct line *l = container_of(t, struct line, timer);
	u32 i = (u32)(container_of(l, __typeof__(late[0]), answers) - late), status;
	bool any;

	spin_lock(&l->lock);
	any = take_due_value(l, &status);
	if (any)
		store_release(&late[i].seen, status);
	spin_unlock(&l->lock);
	if (any)
		late[i].look(&iommu_units[i]);
}

void late_start(u32 posts_ms, u32 answers_ms)
{
	if ((!posts_ms && !answers_ms) || !iommu_nr_units)
		return;
	late = kzalloc(iommu_nr_units * sizeof(*late));
	if (!late) {
		log_warn("iommu: no memory for late-posts= and late-answers=: ignored");
		return;
	}
	for (u32 i = 0; i < iommu_nr_units; i++) {
		spin_init(&late[i].posts.lock, LOCK_LATE_LINE);
		spin_init(&late[i].answers.lock, LOCK_LATE_LINE);
		timer_init(&late[i].posts.timer, post_due);
		timer_init(&late[i].answers.timer, answer_due);
		late[i].seen = load_acquire(iommu_units[i].queue.status);
	}
	/* A CPU that sees these sees the lines initialised. */
	store_release(&posts_ns, posts_ms * 1000000UL);
	store_release(&answers_ns, answers_ms * 1000000UL);
}

bool late_post(struct iommu_unit *u, u32 tail)
{
	u64 delay = load_acquire(&posts_ns);

	if (delay)
		put_value(&late[u->index].posts, delay, tail);
	return delay;
}

bool late_answer(struct iommu_unit *u, late_look_fn look)
{
	u64 delay = load_acquire(&answers_ns);

	if (delay) {
		late[u->index].look = look;
		put_value(&late[u->index].answers, delay, load_acquire(u->queue.status));
	}
	return delay;
}

u32 late_status(const struct iommu_queue *q)
{
	const struct iommu_unit *u = container_of(q, struct iommu_unit, queue);

	return load_acquire(&answers_ns) ? load_acquire(&late[u->index].seen) :
					   load_acquire(q->status);
}
#endif
