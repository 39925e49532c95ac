/* The two interrupt controllers of a PC (Intel 8259A): the second one's output is line 2 of the
 * first one. All lines are edge-triggered: a request stays until it is acknowledged. */
#pragma once

#include <kernel/lib/compiler.h>

struct legacy;

#define VPIC_CASCADE 2

struct vpic_chip {
	u8 irr, imr, isr, lines;
	u8 base; /* the vector of line 0 */
	u8 lowest; /* the line with the lowest priority; the next one has the highest */
	u8 next_word; /* the initialisation command word that is due: 2 to 4, or 0 */
	bool single, needs_word4;
	bool special_nested, auto_end, rotate_auto, special_mask;
	bool read_isr, poll;
};

struct vpic {
	struct vpic_chip chip[2];
	/* The line that a processor was offered and may acknowledge, 0 to 15; -1: none. */
	int offered;
	bool spurious; /* the second chip's request was gone, so it answers with line 7 */
};

/* Set a line, 0 to 15. */
void vpic_set_line(struct vpic *p, u32 line, bool level);
/* The output to the processors. */
bool vpic_output(const struct vpic *p);
/* The vector of the line that is acknowledged next, which is offered from now on; -1: none. */
int vpic_offer(struct vpic *p);
/* The offered line is acknowledged, or else pending as before. */
void vpic_settle(struct vpic *p, bool taken);
/* What the guest reads and writes: chip 0 or 1, at its first or second port. */
u8 vpic_read(struct vpic *p, u32 chip, bool second);
void vpic_write(struct vpic *p, u32 chip, bool second, u8 value);
/* The state after power-on: a PC's vectors, and all lines masked. */
void vpic_power_on(struct vpic *p);
