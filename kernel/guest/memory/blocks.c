/* See kernel/guest/memory/blocks.h. */
#include <kernel/guest/memory/blocks.h>

#include <kernel/core/irq.h>
#include <kernel/core/panic.h>
#include <kernel/mm/alloc.h>
#include <kernel/mm/frame.h>

/* Make the frames of a fresh block the owner's RAM. */
static void set_owner(mfn_t mfn, unsigned int order, u16 owner)
{
	unsigned int piece = MIN(order, (unsigned int)ORDER_2M);

	for (u64 done = 0; done < BIT(order); done += BIT(piece)) {
		if (done && !(done % BLOCK_STEP))
			irq_window();
		if (frame_set(mfn + done, piece, FRAME_RAM, owner))
			panic("frame table: fresh frames 0x%lx+%lu are in use", mfn + done,
			      BIT(piece));
	}
	if (order == ORDER_1G && frame_join(mfn, owner))
		panic("frame table: the fresh block 0x%lx cannot be joined", mfn);
}

mfn_t block_take(u16 owner, unsigned int *order)
{
	mfn_t mfn;

	while ((mfn = alloc_untyped(*order)) == INVALID_MFN) {
		if (!*order)
			return INVALID_MFN;
		(*order)--;
	}
	set_owner(mfn, *order, owner);
	return mfn;
}

void block_free(mfn_t mfn, u64 nr)
{
	for (u64 done = 0; done < nr;) {
		unsigned int order = MIN(__builtin_ctzl((mfn + done) | BIT(ORDER_2M)), ORDER_2M);

		while (BIT(order) > nr - done)
			order--;
		if (done && !((mfn + done) % BLOCK_STEP))
			irq_window();
		free_frames(mfn + done, order);
		done += BIT(order);
	}
}
