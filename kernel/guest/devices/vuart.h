/* COM1 of a guest: a 16550. Whole lines appear in Weir's log behind the
 * domain's name, as many as others can bear; a partial line when the domain ends. The control domain's goes to the console as it
 * comes, and gets what is typed there; that of a guest it has selected goes to the control domain (kernel/guest/devices/guestconsole.h), and has no
 * room while that does not read. */
#pragma once

#include <kernel/lib/compiler.h>
#include <kernel/core/spinlock.h>

struct domain;

struct vuart {
	struct spinlock lock; /* guards all below; leaf but for the log's and the console's */
	struct domain *domain;
	u8 ier, lcr, mcr, scr, dll, dlm, fcr;
	bool tell; /* the control domain, that it can read */
	bool thre; /* "transmitter holding register empty" has not been read from IIR */
	u32 len;
	char line[160];
	u64 paid_ns; /* the lines so far are worth the time until then */
	u32 left_out; /* lines since the last one that was printed */
	u32 received, taken; /* counts; the difference is what the FIFO holds */
	u8 fifo[64];
};

/* Make d's UART, on ports 0x3f8..0x3ff of its bus. -ENOMEM, -ENOSPC. Boot. */
int __must_check vuart_create(struct domain *d);
void vuart_destroy(struct domain *d);
/* Characters that the receive FIFO has room for; any context. */
size_t vuart_room(struct vuart *u);
/* One arrives. Without room it is lost. */
void vuart_receive(struct vuart *u, u8 c);
/* What is written of its last line goes to the control domain, which has just selected it. */
void vuart_selected(struct vuart *u);
/* As after power-on; the guest has written its last line. */
void vuart_reset(struct vuart *u);
/* Print what is left of the last line. */
void vuart_flush(struct vuart *u);
