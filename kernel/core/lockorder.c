/* Debug builds: which locks each CPU holds, and whether it takes them in order.
 *
 * The unit tests, the model and the program of threads check the whole order as well, with a thread
 * in the place of a CPU. The model's interleaving is not disturbed: it acts at the memory accesses
 * of the code under test, and this file is not compiled as such.
 */
#include <kernel/core/lockorder.h>

#ifdef WEIR_DEBUG
#include <kernel/core/panic.h>
#include <kernel/core/spinlock.h>

#define MAX_HELD 16

/* The locks that a CPU holds, in the order in which it took them. */
struct lock_holder {
	const struct spinlock *lock[MAX_HELD];
	u32 nr;
};

static const char *const names[NR_LOCK_CLASSES] = {
#define LOCK_NAME(class, name) [class] = name,
	LOCK_ORDER(LOCK_NAME)
#undef LOCK_NAME
};

#ifdef WEIR_HOST
static __thread struct lock_holder holder;

static struct lock_holder *this_holder(void)
{
	return &holder;
}
#else
#include <kernel/core/cpu.h>

static struct lock_holder holders[MAX_CPUS];

static struct lock_holder *this_holder(void)
{
	/* The first line of the log comes before the bootstrap processor has per-CPU data. */
	return &holders[nr_cpus ? this_cpu()->id : 0];
}
#endif

const char *lock_class_name(enum lock_class class)
{
	return class < NR_LOCK_CLASSES && names[class] ? names[class] : "?";
}

void lock_check_order(const struct spinlock *l)
{
	const struct lock_holder *h = this_holder();

	if (l->class == LOCK_UNSET)
		panic("lock order: the lock at %p has no class: spin_init() is missing",
		      (const void *)l);
	for (u32 i = 0; i < h->nr; i++)
		if (h->lock[i]->class >= l->class)
			panic("lock order: %s taken while %s is held", lock_class_name(l->class),
			      lock_class_name(h->lock[i]->class));
	BUG_ON(h->nr == MAX_HELD);
}

void lock_taken(struct spinlock *l)
{
	struct lock_holder *h = this_holder();

	h->lock[h->nr++] = l;
	write_once(&l->holder, h);
}

void lock_released(struct spinlock *l)
{
	struct lock_holder *h = this_holder();
	u32 i = 0;

	while (i < h->nr && h->lock[i] != l)
		i++;
	if (i == h->nr)
		panic("lock order: %s unlocked, but not held", lock_class_name(l->class));
	for (h->nr--; i < h->nr; i++)
		h->lock[i] = h->lock[i + 1];
	write_once(&l->holder, NULL);
}

bool lock_held(const struct spinlock *l)
{
	return read_once(&l->holder) == this_holder();
}
#endif
