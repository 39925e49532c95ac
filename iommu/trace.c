/* The ring of events: written without a lock, and read while it is being written. */
#include <iommu/trace.h>

#include <iommu/hw.h>
#include <iommu/iommu.h>
#include <kernel/lib/atomic.h>

bool trace_pages;

/* An event's number is cleared first and written last, so that a reader sees that the slot is being
 * overwritten. Times are cycles here. */
static struct weir_trace_event trace_ring[TRACE_EVENTS];
static u64 trace_next = 1;

void trace_always(enum weir_trace_kind kind, u16 owner, u16 who, u64 a, u64 b)
{
	u64 number = __atomic_fetch_add(&trace_next, 1, __ATOMIC_RELAXED);
	struct weir_trace_event *e = &trace_ring[number % TRACE_EVENTS];

	(void)atomic_xchg(&e->number, 0UL);
	write_once(&e->time, hw_cycles());
	write_once(&e->kind, (u16)kind);
	write_once(&e->owner, owner);
	write_once(&e->who, who);
	write_once(&e->a, a);
	write_once(&e->b, b);
	store_release(&e->number, number);
}

bool iommu_trace_pages(bool on)
{
	return __atomic_exchange_n(&trace_pages, on, __ATOMIC_RELAXED);
}

/* False: it is being written, or was overwritten. */
static bool copy_event(u64 number, struct weir_trace_event *out)
{
	const struct weir_trace_event *e = &trace_ring[number % TRACE_EVENTS];

	if (load_acquire(&e->number) != number)
		return false;
	*out = (struct weir_trace_event){
		.number = number,
		.time = hw_cycles_to_ns(read_once(&e->time)),
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
	u64 end = read_once(&trace_next);
	u32 n = 0;

	*from = MAX(*from, end > TRACE_EVENTS ? end - TRACE_EVENTS : 1);
	for (; *from < end && n < max; (*from)++)
		n += copy_event(*from, &out[n]);
	return n;
}
