/* The format of an entry of second-stage tables (VT-d 9.8). The picture is in iommu/table.c. */
#pragma once

#include <iommu/domain.h>
#include <iommu/iommu.h>
#include <kernel/core/paging.h>
#include <kernel/mm/frame.h>

#define ENTRIES 512u
#define LARGEST_LEAF 3u
#define SS_NOT_RAM BIT(10) /* ignored by the hardware: the leaf holds no reference */
#define TOMB_MARK BIT(3)
#define TOMB_TABLE BIT(4)
#define TOMB_NUMBER MASK(62, 52)

/* Frames that an entry of this level covers, as a power of two. Level 1 is the lowest. */
static inline unsigned int order_of(unsigned int level)
{
	return 9 * (level - 1);
}

static inline u64 frames_of(unsigned int level)
{
	return 1UL << order_of(level);
}

static inline unsigned int index_of(dfn_t dfn, unsigned int level)
{
	return (dfn >> order_of(level)) & (ENTRIES - 1);
}

static inline bool is_present(u64 e)
{
	return e & (SS_R | SS_W);
}

static inline bool is_leaf(u64 e, unsigned int level)
{
	return is_present(e) && (level == 1 || (e & SS_PS));
}

static inline bool is_table(u64 e, unsigned int level)
{
	return is_present(e) && !is_leaf(e, level);
}

static inline bool is_tombstone(u64 e)
{
	return !is_present(e) && (e & TOMB_MARK);
}

static inline bool is_own_tombstone(u64 e, u32 number)
{
	return is_tombstone(e) && FIELD_GET(TOMB_NUMBER, e) == number;
}

static inline mfn_t mfn_of(u64 e)
{
	return (e & SS_ADDR) >> PAGE_SHIFT;
}

static inline u64 *table_at(u64 e)
{
	return phys_to_virt(e & SS_ADDR);
}

static inline u64 leaf(const struct iommu_domain *d, mfn_t mfn, unsigned int level, u32 perm)
{
	/* Snooped whatever the device asks for: memory that was cleared may be in the caches
	 * only. */
	return mfn << PAGE_SHIFT | d->snoop | (perm & IOMMU_READ ? SS_R : 0) |
	       (perm & IOMMU_WRITE ? SS_W : 0) | (perm & IOMMU_NOT_RAM ? SS_NOT_RAM : 0) |
	       (level > 1 ? SS_PS : 0);
}

static inline u64 tombstone(u64 e, unsigned int level, u32 number)
{
	return (e & (SS_ADDR | SS_PS | SS_NOT_RAM)) | TOMB_MARK |
	       (is_table(e, level) ? TOMB_TABLE : 0) | FIELD_PREP(TOMB_NUMBER, number);
}

/* The counts that a table's frame record keeps. */
static inline struct frame_table_counts *counts(const u64 *table)
{
	return frame_table_counts(direct_map_mfn(table));
}

/* A table below e, reachable by the hardware or unlinked. */
static inline bool holds_table(u64 e, unsigned int level)
{
	return is_table(e, level) || (is_tombstone(e) && (e & TOMB_TABLE));
}
