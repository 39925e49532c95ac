/* COM1 of a guest: a 16550 that always has room. Whole lines appear in Weir's log behind the
 * domain's name; a partial line when the domain ends. */
#pragma once

#include <kernel/compiler.h>
#include <kernel/spinlock.h>

struct domain;

struct vuart {
	struct spinlock lock; /* guards all below; leaf but for the log's */
	struct domain *domain;
	u8 ier, lcr, mcr, scr, dll, dlm, fcr;
	u32 len;
	char line[160];
};

/* Register ports 0x3f8..0x3ff on the domain's bus. */
int __must_check vuart_init(struct vuart *u, struct domain *d);
/* Print what is left of the last line. */
void vuart_flush(struct vuart *u);
