/* COM1 of a guest: a 16550. Complete lines appear in Weir's log after the domain's name, at a
 * limited rate; an incomplete line appears when the domain ends. The control domain's output goes
 * directly to the console, and console input goes to the control domain. The output of the guest
 * that it has selected goes to the control domain (guestconsole.h); while the control domain does
 * not read it, the guest's UART reports busy. */
#pragma once

#include <kernel/core/spinlock.h>
#include <kernel/lib/compiler.h>

struct domain;

struct vuart {
	/* Guards everything below. Taken before the locks of guestconsole.c, the log and the
	 * console. */
	struct spinlock lock;
	struct domain *domain;
	u8 ier, lcr, mcr, scr, dll, dlm, fcr;
	bool tell; /* guestconsole_tell() must be called */
	bool thre; /* "transmitter holding register empty" has not been read from IIR */
	u32 len;
	char line[160];
	u64 paid_ns; /* the lines so far have used up the allowed rate until then */
	u32 left_out; /* lines suppressed since the last one printed */
	u32 received, taken; /* total counts; the FIFO holds the difference */
	u8 fifo[64];
};

/* Create d's UART at ports 0x3f8 to 0x3ff. -ENOMEM, -ENOSPC. Boot. */
int __must_check vuart_create(struct domain *d);
/* Free d's UART. Nothing uses it any longer. */
void vuart_destroy(struct domain *d);
/* The number of characters that fit into the receive FIFO. Any context. */
size_t vuart_room(struct vuart *u);
/* Receive a character. It is lost if the FIFO is full. Any context. */
void vuart_receive(struct vuart *u, u8 c);
/* The control domain has just selected this guest: pass on its incomplete last line. No lock is
 * held. */
void vuart_selected(struct vuart *u);
/* Reset to the state after power-on. No vCPU runs, and vuart_flush() has been called. */
void vuart_reset(struct vuart *u);
/* Print a character that the guest writes elsewhere, like one that it sends. No lock is held. */
void vuart_print(struct vuart *u, u8 c);
/* Print the incomplete last line. No vCPU runs. */
void vuart_flush(struct vuart *u);
