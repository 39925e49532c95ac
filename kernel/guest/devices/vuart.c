/* The virtual 16550 of a guest (National Semiconductor PC16550D data sheet). See vuart.h.
 *
 * A character is sent immediately, so the transmitter is always empty, unless the control domain
 * has selected this guest and does not read, or the machine's own UART is slower than what the
 * control domain writes. The UART raises no interrupts, but IIR reports which one would be pending,
 * for drivers that poll it. The control domain, which gets the console's input, is notified by an
 * event (kernel/guest/domain/event.h).
 */
#include <kernel/guest/devices/vuart.h>

#include <kernel/core/clock.h>
#include <kernel/core/console.h>
#include <kernel/core/log.h>
#include <kernel/guest/devices/guestconsole.h>
#include <kernel/guest/domain/domain.h>
#include <kernel/lib/errno.h>
#include <kernel/mm/alloc.h>

#define COM1_FIRST 0x3f8
#define COM1_LAST 0x3ff

enum {
	THR = 0, /* RBR when read; divisor latch low with LCR.DLAB */
	IER = 1, /* divisor latch high with LCR.DLAB */
	FCR = 2, /* IIR when read */
	LCR = 3,
	MCR = 4,
	LSR = 5,
	MSR = 6,
	SCR = 7,
};

#define LCR_DLAB 0x80
#define LSR_DR 0x01
#define LSR_THRE 0x20
#define LSR_TEMT 0x40
#define IER_RECEIVED 0x01
#define IER_THRE 0x02
#define IIR_NONE 0x01
#define IIR_THRE 0x02
#define IIR_RECEIVED 0x04
#define IIR_FIFO 0xc0
#define FCR_ENABLE 0x01
#define FCR_CLEAR_RECEIVED 0x02
#define MCR_LOOP 0x10
#define MSR_CTS_DSR_DCD 0xb0

/* A guest may write BURST lines at once, and LINES_A_SECOND after that. There is a limit because
 * lines affect others: each one displaces older lines from the log's ring. */
#define BURST 1000
#define LINES_A_SECOND 50
#define LINE_NS (1000000000UL / LINES_A_SECOND)

/* A guest that has reached the limit stays silent until a full second's worth of lines is allowed
 * again. So the two messages about suppressed lines appear at most once per second. */
static bool may_print(struct vuart *u)
{
	u64 lines = BURST - (u->left_out ? LINES_A_SECOND : 0);
	u64 now = clock_ns(), allowed = now + lines * LINE_NS;

	u->paid_ns = MAX(u->paid_ns, now);
	if (u->paid_ns >= allowed)
		return false;
	u->paid_ns += LINE_NS;
	return true;
}

static void tell_left_out(struct vuart *u)
{
	if (u->left_out)
		log_warn("domain %s: %u lines of its console were left out", u->domain->name,
			 u->left_out);
	u->left_out = 0;
}

static void print_line(struct vuart *u)
{
	/* Replace control characters: a guest must not control the administrator's terminal. */
	for (u32 i = 0; i < u->len; i++)
		if (((u8)u->line[i] < ' ' && u->line[i] != '\t') || u->line[i] == 0x7f)
			u->line[i] = '.';
	u->line[u->len] = 0;
	u->len = 0;
	if (!may_print(u)) {
		/* At once: the guest may say nothing more. */
		if (!u->left_out++)
			log_warn("domain %s: lines of its console are left out from here on: it "
				 "writes more than %u per second",
				 u->domain->name, LINES_A_SECOND);
		return;
	}
	tell_left_out(u);
	log_info("%s| %s", u->domain->name, u->line);
}

static void transmit(struct vuart *u, u8 c)
{
	if (u->domain->privileged) {
		console_put(c);
		return;
	}
	if (guestconsole_put(u->domain->id, c, &u->tell))
		return;
	if (c == '\r')
		return;
	if (c == '\n') {
		print_line(u);
		return;
	}
	u->line[u->len++] = (char)c;
	if (u->len == sizeof(u->line) - 1)
		print_line(u);
}

static bool has_received(const struct vuart *u)
{
	return u->received != u->taken;
}

static u8 take_received(struct vuart *u)
{
	return has_received(u) ? u->fifo[u->taken++ % sizeof(u->fifo)] : 0;
}

static bool can_transmit(const struct vuart *u)
{
	return u->domain->privileged ? console_has_room() : guestconsole_has_room(u->domain->id);
}

/* Table 5 and section 8.6: received data has priority; reading "transmitter empty" from IIR clears
 * that condition. */
static u8 read_interrupt_id(struct vuart *u)
{
	u8 cause = IIR_NONE;

	if (has_received(u) && (u->ier & IER_RECEIVED)) {
		cause = IIR_RECEIVED;
	} else if (u->thre && (u->ier & IER_THRE) && can_transmit(u)) {
		cause = IIR_THRE;
		u->thre = false;
	}
	return cause | (u->fcr & FCR_ENABLE ? IIR_FIFO : 0);
}

/* In loop-back mode the modem outputs appear as inputs. Drivers use that to detect the chip. */
static u8 read_modem_status(const struct vuart *u)
{
	if (!(u->mcr & MCR_LOOP))
		return MSR_CTS_DSR_DCD;
	return (u8)((u->mcr & 0x0c) << 4 | (u->mcr & 2) << 3 | (u->mcr & 1) << 5);
}

static int vuart_read(void *ctx, struct vcpu *v __unused, u64 offset, unsigned int size, u64 *value)
{
	struct vuart *u = ctx;
	bool dlab;

	if (size != 1)
		return 0;

	spin_lock(&u->lock);
	dlab = u->lcr & LCR_DLAB;
	switch (offset) {
	case THR:
		*value = dlab ? u->dll : take_received(u);
		break;
	case IER:
		*value = dlab ? u->dlm : u->ier;
		break;
	case FCR:
		*value = read_interrupt_id(u);
		break;
	case LCR:
		*value = u->lcr;
		break;
	case MCR:
		*value = u->mcr;
		break;
	case LSR:
		*value = can_transmit(u) ? LSR_THRE | LSR_TEMT : 0;
		*value |= has_received(u) ? LSR_DR : 0;
		break;
	case MSR:
		*value = read_modem_status(u);
		break;
	case SCR:
		*value = u->scr;
		break;
	}
	spin_unlock(&u->lock);
	return 0;
}

static int vuart_write(void *ctx, struct vcpu *v __unused, u64 offset, unsigned int size, u64 value)
{
	struct vuart *u = ctx;
	u8 b = (u8)value;
	bool dlab, tell;

	if (size != 1)
		return 0;

	spin_lock(&u->lock);
	dlab = u->lcr & LCR_DLAB;
	switch (offset) {
	case THR:
		if (dlab) {
			u->dll = b;
			break;
		}
		if (!(u->mcr & MCR_LOOP))
			transmit(u, b);
		u->thre = true; /* the transmitter is empty again */
		break;
	case IER:
		if (dlab) {
			u->dlm = b;
			break;
		}
		/* Enabling this interrupt while the transmitter is empty sets the condition
		 * immediately. */
		u->thre |= b & ~u->ier & IER_THRE;
		u->ier = b & 0x0f;
		break;
	case FCR:
		u->fcr = b;
		if (b & FCR_CLEAR_RECEIVED)
			u->taken = u->received;
		break;
	case LCR:
		u->lcr = b;
		break;
	case MCR:
		u->mcr = b & 0x1f;
		break;
	case SCR:
		u->scr = b;
		break;
	}
	tell = u->tell;
	u->tell = false;
	spin_unlock(&u->lock);
	if (tell)
		guestconsole_tell();
	return 0;
}

int vuart_create(struct domain *d)
{
	struct vuart *u = kzalloc(sizeof(*u));
	struct bus_range r = {
		.first = COM1_FIRST,
		.last = COM1_LAST,
		.ctx = u,
		.read = vuart_read,
		.write = vuart_write,
	};

	if (!u)
		return -ENOMEM;
	spin_init(&u->lock, LOCK_VUART);
	u->domain = d;
	d->uart = u;
	return bus_add(&d->vm.io, &r);
}

void vuart_destroy(struct domain *d)
{
	kfree(d->uart);
	d->uart = NULL;
}

void vuart_selected(struct vuart *u)
{
	bool tell = false;

	spin_lock(&u->lock);
	for (u32 i = 0; i < u->len; i++)
		(void)guestconsole_put(u->domain->id, (u8)u->line[i], &tell);
	u->len = 0;
	spin_unlock(&u->lock);
	if (tell)
		guestconsole_tell();
}

void vuart_reset(struct vuart *u)
{
	spin_lock(&u->lock);
	u->ier = u->lcr = u->mcr = u->scr = u->dll = u->dlm = u->fcr = 0;
	u->thre = false;
	u->taken = u->received;
	spin_unlock(&u->lock);
}

size_t vuart_room(struct vuart *u)
{
	size_t room;

	spin_lock(&u->lock);
	room = sizeof(u->fifo) - (u->received - u->taken);
	spin_unlock(&u->lock);
	return room;
}

void vuart_receive(struct vuart *u, u8 c)
{
	spin_lock(&u->lock);
	if (u->received - u->taken < sizeof(u->fifo))
		u->fifo[u->received++ % sizeof(u->fifo)] = c;
	spin_unlock(&u->lock);
}

void vuart_print(struct vuart *u, u8 c)
{
	bool tell;

	spin_lock(&u->lock);
	transmit(u, c);
	tell = u->tell;
	u->tell = false;
	spin_unlock(&u->lock);
	if (tell)
		guestconsole_tell();
}

void vuart_flush(struct vuart *u)
{
	spin_lock(&u->lock);
	if (u->domain->privileged)
		console_end_line();
	else if (u->len)
		print_line(u);
	tell_left_out(u);
	spin_unlock(&u->lock);
}
