/* The registers of a text screen (IBM, VGA reference; here as a BIOS leaves them in mode 3, which
 * has 80 columns and 25 lines). They exist for kernels that move the cursor or wait for a retrace:
 * nothing is drawn. The screen itself is memory of the guest (GUEST_TEXT_SCREEN).
 *
 *	0x3c0, 0x3c1    attribute controller
 *	0x3c2, 0x3cc    miscellaneous output: written, read
 *	0x3c4, 0x3c5    sequencer
 *	0x3ce, 0x3cf    graphics controller
 *	0x3d4, 0x3d5    CRT controller
 *	0x3da           input status 1
 */
#pragma once

#include <kernel/lib/compiler.h>

struct legacy;

struct vvga_set {
	u8 index; /* the register that the data port accesses */
	u8 reg[32];
};

struct vvga {
	struct vvga_set attribute, sequencer, graphics, crtc;
	bool attribute_data; /* the next byte written to 0x3c0 is data, not an index */
	u8 misc, status;
};

/* Where the screen begins, and where its cursor is, in characters from GUEST_TEXT_SCREEN. */
struct vvga_view {
	u16 start, cursor;
	bool has_cursor;
};

/* Take the ports. -ENOSPC, -EEXIST. Boot. */
int __must_check vvga_add_ports(struct legacy *l);
/* Reset to the state in which a BIOS leaves them. The lock of `l` is held. */
void vvga_reset(struct legacy *l);
/* What is shown now. Takes the lock of `l`, which may be NULL: a guest without these registers. */
struct vvga_view vvga_view(struct legacy *l);
