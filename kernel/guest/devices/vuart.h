/* COM1 of a guest: a 16550. Whole lines appear in Weir's log behind the domain's name, at a limited
 * rate; an incomplete line appears when the domain ends. The control domain's output goes straight
 * to the console, and console input is its input. The output of a guest that it has selected goes
 * to the control domain (guestconsole.h), and the UART is busy while that does not read. */
#pragma once

#include <kernel/core/spinlock.h>
#include <kernel/lib/compiler.h>

struct domain;

struct vuart {
	/* Guards all below; before the locks of guestconsole.c, the log and the console. */
	struct spinlock lock;
	struct domain *domain;
	u8 ier, lcr, mcr, scr, dll, dlm, fcr;
	bool tell; /* tell the control domain that it can read */
	bool thre; /* "transmitter holding register empty" has not been read from IIR */
	u32 len;
	char line[160];
	u64 paid_ns; /* the lines so far use up the time until then */
	u32 left_out; /* lines since the last one that was printed */
	u32 received, taken; /* counts: the difference is what the FIFO holds */
	u8 fifo[64];
};

/* Make d's UART, on its ports 0x3f8 to 0x3ff. -ENOMEM, -ENOSPC. Boot. */
int __must_check vuart_create(struct domain *d);
void vuart_destroy(struct domain *d);
/* How many characters the receive FIFO has room for. Any context. */
size_t vuart_room(struct vuart *u);
/* A character arrives. If there is no room, it is lost. Any context. */
void vuart_receive(struct vuart *u, u8 c);
/* The control domain has just selected this guest: its incomplete last line goes there. */
void vuart_selected(struct vuart *u);
/* As after power-on. No vCPU runs, and vuart_flush() was called. */
void vuart_reset(struct vuart *u);
/* Print the incomplete last line. No vCPU runs. */
void vuart_flush(struct vuart *u);
