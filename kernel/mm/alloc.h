/* Physical memory: a buddy allocator of orders 0 to 18 (4 KiB to 1 GiB) that keeps large blocks
 * whole, and small objects. All of it may be called in any context. */
#pragma once

#include <kernel/lib/compiler.h>

#define ALLOC_MAX_ORDER 18

/* Give RAM [mfn, mfn + nr) to the allocator; types it FRAME_FREE. Frame 0 and frames that are free
 * already are left out. Boot, and whenever memory is given back. Frames below 1 MiB are kept for
 * alloc_frames_below() until nothing else is left. */
void alloc_add(mfn_t mfn, u64 nr);
/* 1 << order frames, aligned to their size, typed FRAME_WEIR; INVALID_MFN if there are none.
 * Contents undefined. Takes from the smallest block that fits, so 1 GiB and 2 MiB blocks stay whole
 * as long as they can. */
mfn_t alloc_frames(unsigned int order) __must_check;
/* The same for any order, in bounded time: the frames stay FRAME_FREE until the caller has set the
 * type of all of them, at most 2 MiB in each call of frame_set(). Only then may they be freed. */
mfn_t alloc_untyped(unsigned int order) __must_check;
/* As alloc_frames(), for frames that must lie below `limit` (a frame number): the AP trampoline,
 * 32-bit devices. */
mfn_t alloc_frames_below(unsigned int order, mfn_t limit) __must_check;
/* Free 1 << order frames. Panics if any of them still has a dev_tlb reference: no frame is reused
 * while a device may reach it. */
void free_frames(mfn_t mfn, unsigned int order);
/* How much one step of deferred work may free: some tens of microseconds. Blocks of more than 2 MiB
 * are freed in pieces. */
#define STEP_FREES_FRAMES 2560
#define STEP_FREES_BLOCKS 320
#if defined(WEIR_DEBUG) || defined(WEIR_HOST)
/* A step begins on this CPU; it takes interrupts, or ends: panic if it has freed more than that. */
void alloc_step_begins(void);
void alloc_step_window(void);
void alloc_step_ends(void);
#else
static inline void alloc_step_begins(void)
{
}
static inline void alloc_step_window(void)
{
}
static inline void alloc_step_ends(void)
{
}
#endif
/* Frames free now. */
u64 alloc_free_frames(void);

#ifdef WEIR_DEBUG
/* For tests: the allocation that is the first'th from now on fails, and then every `every`'th; 0:
 * none. Any CPU. */
void alloc_fail(u64 first, u64 every);
#endif
/* Free blocks of exactly this order, for the boot log. */
u64 alloc_free_blocks(unsigned int order);

/* Small zeroed objects of the hypervisor (up to 1 MiB), from power-of-two caches; NULL if there is
 * no memory. */
void *kzalloc(size_t size) __must_check;
void kfree(void *p);
/* One zeroed page at its direct-map address; NULL if there is none. */
void *alloc_page(void) __must_check;
void free_page(void *page);

#ifdef WEIR_HOST
/* Tests: asked before each allocation (kzalloc: with the order that its size would need); true
 * makes it fail. */
extern bool (*alloc_fail_hook)(unsigned int order);
#endif
