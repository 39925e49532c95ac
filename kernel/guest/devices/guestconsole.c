/* The console of the guest that the control domain has selected. See guestconsole.h. */
#include <kernel/guest/devices/guestconsole.h>

#include <kernel/abi/hypercall.h>
#include <kernel/core/spinlock.h>
#include <kernel/guest/devices/vuart.h>
#include <kernel/guest/domain/domain.h>
#include <kernel/guest/domain/event.h>
#include <kernel/guest/memory/guestcopy.h>
#include <kernel/guest/memory/memory.h>
#include <kernel/lib/errno.h>

#define RING_SIZE 4096u
#define PIECE 256u /* bytes copied at a time */

static struct {
	struct spinlock lock; /* guards all of this; taken after a UART's lock */
	u16 id; /* the selected guest; 0: none */
	u32 written, read; /* total counts; the ring holds the difference */
	u8 ring[RING_SIZE];
} output = { .lock = SPINLOCK_INIT(LOCK_GUESTCONSOLE) };

bool guestconsole_has_room(u16 id)
{
	bool room;

	if (read_once(&output.id) != id)
		return true;
	spin_lock(&output.lock);
	room = output.id != id || output.written - output.read < RING_SIZE;
	spin_unlock(&output.lock);
	return room;
}

bool guestconsole_put(u16 id, u8 c, bool *tell)
{
	bool selected;

	if (read_once(&output.id) != id)
		return false;
	spin_lock(&output.lock);
	selected = output.id == id;
	if (selected && output.written - output.read < RING_SIZE) {
		*tell |= output.written == output.read;
		output.ring[output.written++ % RING_SIZE] = c;
	}
	spin_unlock(&output.lock);
	return selected;
}

void guestconsole_tell(void)
{
	domain_event_to_control(WEIR_EVENT_CONSOLE);
}

static void select_guest(u16 id, bool keep_output)
{
	spin_lock(&output.lock);
	write_once(&output.id, id);
	if (!keep_output)
		output.read = output.written;
	spin_unlock(&output.lock);
}

void guestconsole_release(void)
{
	select_guest(0, false);
}

s64 guestconsole_select(struct domain *caller, u64 id)
{
	struct domain *d = NULL;

	if (id == caller->id)
		return -EINVAL;
	if (id) {
		d = id <= MAX_DOMAINS ? domain_get((u16)id) : NULL;
		if (!d)
			return -ENOENT;
	}
	/* What the last guest has written meanwhile can still be read, until another is chosen. */
	select_guest((u16)id, !id);
	if (d) {
		vuart_selected(d->uart);
		domain_put(d);
	}
	return 0;
}

static u32 take_output(u8 *buf, u32 max)
{
	u32 n = 0;

	spin_lock(&output.lock);
	while (n < max && output.read != output.written)
		buf[n++] = output.ring[output.read++ % RING_SIZE];
	spin_unlock(&output.lock);
	return n;
}

s64 guestconsole_read(struct domain *caller, gpaddr_t gpa, u64 size)
{
	struct domain *d = domain_get(read_once(&output.id));
	u8 buf[PIECE];
	u64 done = 0;
	u32 n;

	size = MIN(size, (u64)RING_SIZE);
	while ((n = take_output(buf, (u32)MIN(size - done, (u64)PIECE)))) {
		if (guest_write(&caller->vm.memory, gpa + done, buf, n)) {
			done = (u64)-EFAULT;
			break;
		}
		done += n;
	}
	if (!done && !d)
		done = (u64)-ENOENT;
	if (d)
		domain_put(d);
	return (s64)done;
}

s64 guestconsole_write(struct domain *caller, gpaddr_t gpa, u64 size)
{
	struct domain *d = domain_get(read_once(&output.id));
	u8 buf[PIECE];
	u64 n;

	if (!d)
		return -ENOENT;
	n = MIN(size, (u64)PIECE);
	n = MIN(n, vuart_room(d->uart));
	if (guest_read(&caller->vm.memory, gpa, buf, n)) {
		domain_put(d);
		return -EFAULT;
	}
	for (u64 i = 0; i < n; i++)
		vuart_receive(d->uart, buf[i]);
	if (n)
		domain_event(d, WEIR_EVENT_INPUT);
	domain_put(d);
	return (s64)n;
}
