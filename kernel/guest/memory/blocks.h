/* Blocks of frames for a domain, taken from the allocator and given back in bounded steps. */
#pragma once

#include <kernel/lib/types.h>

/* Frames whose type is changed before interrupts are taken: some 50,000 instructions. */
#define BLOCK_STEP 2048UL

/* Take 1 << *order frames for this owner, or fewer: *order is updated. They are typed FRAME_RAM, so
 * a block of 2 MiB or 1 GiB may be mapped as one, but not cleared. INVALID_MFN: there are none.
 * Takes interrupts if it is more than BLOCK_STEP: then no lock may be held. */
mfn_t block_take(u16 owner, unsigned int *order);
/* Free nr frames in the largest pieces that one call may free. The same holds for nr. */
void block_free(mfn_t mfn, u64 nr);
