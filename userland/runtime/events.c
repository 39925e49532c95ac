/* Weir's events, which come by a vector of their own (kernel/abi/hypercall.h). */
#include "runtime.h"

volatile bool event_pending;

static void on_event(void *ctx)
{
	(void)ctx;
	event_pending = true;
}

void events_init(void)
{
	if (hypervisor_is_weir())
		(void)hypercall(WEIR_HC_EVENT_VECTOR, interrupt_allocate(on_event, NULL), 0, 0);
}

u64 events_take(void)
{
	if (!event_pending)
		return 0;
	event_pending = false;
	return (u64)hypercall(WEIR_HC_EVENTS, 0, 0, 0);
}
