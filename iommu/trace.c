#include <iommu/trace.h>

#include <iommu/iommu.h>
#include <kernel/atomic.h>
#include <kernel/clock.h>
#include <kernel/string.h>

#define EVENTS 1024u /* a power of two */

/* A slot's number tells which event it holds: written last, and cleared first, so that a reader sees that it is being
 * overwritten. */
static struct weir_trace_event ring[EVENTS];
static u64 next = 1;

void trace(enum weir_trace_kind kind, u16 owner, u16 who, u64 a, u64 b)
{
	u64 number = __atomic_fetch_add(&next, 1, __ATOMIC_RELAXED);
	struct weir_trace_event *e = &ring[number % EVENTS];

	write_once(&e->number, 0UL);
	smp_mb();
	write_once(&e->time, clock_ns());
	write_once(&e->kind, (u16)kind);
	write_once(&e->owner, owner);
	write_once(&e->who, who);
	write_once(&e->a, a);
	write_once(&e->b, b);
	store_release(&e->number, number);
}

/* False: it is being written, or was overwritten. */
static bool copy_event(u64 number, struct weir_trace_event *out)
{
	const struct weir_trace_event *e = &ring[number % EVENTS];

	if (load_acquire(&e->number) != number)
		return false;
	*out = (struct weir_trace_event){
		.number = number,
		.time = read_once(&e->time),
		.kind = read_once(&e->kind),
		.owner = read_once(&e->owner),
		.who = read_once(&e->who),
		.a = read_once(&e->a),
		.b = read_once(&e->b),
	};
	smp_mb();
	return read_once(&e->number) == number;
}

u32 iommu_trace_read(u64 *from, struct weir_trace_event *out, u32 max)
{
	u64 end = read_once(&next);
	u32 n = 0;

	if (*from + EVENTS < end)
		*from = end - EVENTS;
	for (; *from < end && n < max; (*from)++)
		n += copy_event(*from, &out[n]);
	return n;
}
