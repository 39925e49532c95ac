/* The machine's own console. See hostconsole.h. */
#include <kernel/guest/devices/hostconsole.h>

#include <kernel/abi/hypercall.h>
#include <kernel/core/console_input.h>
#include <kernel/guest/devices/vuart.h>
#include <kernel/guest/domain/domain.h>
#include <kernel/guest/domain/event.h>

static size_t input_room(void)
{
	struct domain *d = domain_get_control();
	size_t room = d ? vuart_room(d->uart) : 0;

	if (d)
		domain_put(d);
	return room;
}

static void receive_input(u8 c)
{
	struct domain *d = domain_get_control();

	if (!d)
		return;
	vuart_receive(d->uart, c);
	domain_event(d, WEIR_EVENT_INPUT);
	domain_put(d);
}

void hostconsole_start(void)
{
	console_input_start(input_room, receive_input);
}
