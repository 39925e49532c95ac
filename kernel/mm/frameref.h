/* References that device mappings hold on frames (kernel/mm/frame.h): one per leaf of an I/O page
 * table, on the record of the leaf's size. */
#pragma once

#include <kernel/mm/frameword.h>

/* Take one dev_tlb reference for `owner` on the record of 1 << order frames (ORDER_4K, _2M or _1G;
 * mfn aligned). -EPERM if not all of it is FRAME_RAM of that owner, or (for a block) if it became
 * so piece by piece and was never set or merged as a whole; -EBUSY if it is or contains a special
 * frame, or its type is being changed; -EINVAL if it has no record; -ERANGE if the count is full.
 * Any context, lock-free. */
int __must_check frame_get_dev(mfn_t mfn, unsigned int order, u16 owner);
/* The same inline, for a constant order. False: ask frame_get_dev() why. */
static __always_inline bool frame_try_get_dev(mfn_t mfn, unsigned int order, u16 owner)
{
	u64 want = wanted_word(order, owner), word = want;

	return has_records(mfn, order, 1) && owner != OWNER_NONE &&
	       try_reference(record_of(mfn, order), want, &word);
}

/* Take nr references at ORDER_4K or ORDER_2M on consecutive frames or blocks: all or none. */
int __must_check frame_get_dev_many(mfn_t mfn, unsigned int order, u64 nr, u16 owner);
/* Drop one. Panics on underflow: that is a bug in Weir. */
void frame_put_dev(mfn_t mfn, unsigned int order);
/* For each of nr words, drop one 4 KiB reference on the frame whose address is in the word's bits
 * `address`. Words that are 0 or have a bit of `skip` are left out. Returns how many were
 * dropped. */
u64 frame_put_dev_words(const u64 *word, u64 nr, u64 address, u64 skip);
/* Move one reference on a block down to its 512 parts (split), or 512 of them up into one (merge).
 * The caller holds these references; the call cannot fail, and no part is unreferenced at any
 * moment. A merged block counts as set as a whole. */
void frame_split_dev(mfn_t mfn, unsigned int order);
void frame_merge_dev(mfn_t mfn, unsigned int order);
