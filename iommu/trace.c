/* Reading the ring of events, while it is being written. */
#include <iommu/trace.h>

#include <iommu/iommu.h>

struct weir_trace_event trace_ring[TRACE_EVENTS];
u64 trace_next = 1;

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
