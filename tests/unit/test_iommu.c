/* The IOMMU core against software units that cache everything the specification allows: tables,
 * gathers, queue, release.
 *
 * sources: $(IOMMU_SRCS)
 * libs: $(IOMMU_LIBS)
 */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <tests/unit/iommu_fixture.h>

#include <iommu/entry.h>
#include <kernel/abi/iommu.h>

#define GIB_FRAMES (1UL << ORDER_1G)

/* --- the life of an entry ------------------------------------------------- */

static void released_by_the_interrupt_only(void **state)
{
	mfn_t mfn, seen;

	(void)state;
	start(&plain, false);
	mfn = VTD_RAM_FIRST + 7;
	assert_int_equal(map(5, mfn, 1), 0);
	assert_int_equal(frame_dev_refs(mfn), 1);
	assert_true(vtd_dma(VTD_DEVICE_0, 5, &seen));
	assert_int_equal(seen, mfn);

	unmap(5, 1);
	/* The IOTLB still has it: this is why frames must be held until the flush completes. */
	assert_true(vtd_dma(VTD_DEVICE_0, 5, &seen));
	assert_int_equal(frame_dev_refs(mfn), 1);
	assert_int_equal(map(5, mfn + 1, 1), -EAGAIN);
	while (vtd_work())
		;
	assert_int_equal(frame_dev_refs(mfn), 1);

	vtd_execute(0, ~0u);
	assert_false(vtd_dma(VTD_DEVICE_0, 5, &seen));
	while (vtd_work())
		;
	assert_int_equal(frame_dev_refs(mfn), 1); /* the interrupt has not been delivered yet */
	vtd_interrupts();
	assert_int_equal(frame_dev_refs(mfn), 1); /* the interrupt's work has not run yet */
	while (vtd_work())
		;
	assert_int_equal(frame_dev_refs(mfn), 0);
	assert_true(wakes > 0);
	assert_int_equal(map(5, mfn + 1, 1), 0);
	finish(false);
}

static void largest_leaves(void **state)
{
	struct weir_stats s = { 0 };

	(void)state;
	start(&plain, false);
	assert_int_equal(map(1UL << 18, VTD_RAM_FIRST, 1UL << 18), 0);
	assert_int_equal(map(2UL << 18, VTD_RAM_FIRST + (1UL << 18), 512 + 3), 0);
	iommu_domain_stats(d, &s);
	assert_int_equal(s.io_entries[2], 1);
	assert_int_equal(s.io_entries[1], 1);
	assert_int_equal(s.io_entries[0], 3);
	assert_int_equal(s.io_references, 5);
	finish(false);
}

/* Unmaps one frame of a 1 GiB leaf. The device can use all other frames at any moment, and every
 * frame keeps its reference. */
static void splits_a_gigabyte(void **state)
{
	struct weir_stats s = { 0 };
	mfn_t seen;

	(void)state;
	start(&plain, false);
	assert_int_equal(map(1UL << 18, VTD_RAM_FIRST, 1UL << 18), 0);
	assert_true(vtd_dma(VTD_DEVICE_0, (1UL << 18) + 1000, &seen));
	unmap((1UL << 18) + 700, 1);
	assert_int_equal(frame_dev_refs(VTD_RAM_FIRST + 700), 1);
	vtd_check();
	vtd_settle();
	assert_int_equal(frame_dev_refs(VTD_RAM_FIRST + 700), 0);
	assert_int_equal(frame_dev_refs(VTD_RAM_FIRST + 699), 1);
	assert_int_equal(frame_dev_refs(VTD_RAM_FIRST + 701), 1);
	assert_int_equal(frame_dev_refs(VTD_RAM_FIRST + 5000), 1);
	assert_false(vtd_dma(VTD_DEVICE_0, (1UL << 18) + 700, &seen));
	assert_true(vtd_dma(VTD_DEVICE_0, (1UL << 18) + 1000, &seen));
	assert_int_equal(seen, VTD_RAM_FIRST + 1000);
	vtd_check();
	iommu_domain_stats(d, &s);
	assert_int_equal(s.io_splits, 2);
	assert_int_equal(s.io_entries[2], 0);
	assert_int_equal(s.io_entries[1], 511);
	assert_int_equal(s.io_entries[0], 511);
	finish(false);
}

static void collapses(void **state)
{
	struct weir_stats s = { 0 };
	mfn_t seen;

	(void)state;
	start(&plain, false);
	for (dfn_t i = 0; i < 511; i++)
		assert_int_equal(map(512 + i, VTD_RAM_FIRST + 512 + i, 1), 0);
	assert_true(vtd_dma(VTD_DEVICE_0, 512, &seen)); /* the unit caches the table */
	assert_int_equal(map(512 + 511, VTD_RAM_FIRST + 512 + 511, 1), 0);
	iommu_domain_stats(d, &s);
	assert_int_equal(s.io_collapses, 1);
	assert_int_equal(s.io_entries[1], 1);
	assert_int_equal(s.io_entries[0], 0);
	vtd_check(); /* the table is not freed while it is cached */
	vtd_settle();
	vtd_check();
	assert_true(vtd_dma(VTD_DEVICE_0, 600, &seen));
	assert_int_equal(seen, VTD_RAM_FIRST + 600);
	finish(false);
}

/* The same one level up: 512 leaves of 2 MiB. */
static void collapses_to_1g(void **state)
{
	struct weir_stats s = { 0 };
	dfn_t first = 1UL << 18;
	mfn_t seen;

	(void)state;
	start(&plain, false);
	for (dfn_t i = 0; i < 511; i++)
		assert_int_equal(map(first + 512 * i, VTD_RAM_FIRST + 512 * i, 512), 0);
	assert_true(vtd_dma(VTD_DEVICE_0, first, &seen)); /* the unit caches the table */
	assert_int_equal(map(first + 512 * 511, VTD_RAM_FIRST + 512 * 511, 512), 0);
	iommu_domain_stats(d, &s);
	assert_int_equal(s.io_collapses, 1);
	assert_int_equal(s.io_entries[2], 1);
	assert_int_equal(s.io_entries[1], 0);
	vtd_check();
	vtd_settle();
	vtd_check(); /* the table is free, and nobody has its address */
	assert_true(vtd_dma(VTD_DEVICE_0, first + 600, &seen));
	assert_int_equal(seen, VTD_RAM_FIRST + 600);
	finish(false);
}

/* 1 GiB mapped by 512 tables is unlinked by clearing one entry; the release walks the tables in
 * bounded steps. */
static void unlinks_a_subtree(void **state)
{
	struct weir_stats s = { 0 };
	unsigned int steps = 0;

	(void)state;
	start(&plain, false);
	assert_int_equal(map((1UL << 18), VTD_RAM_FIRST + 1, (1UL << 18) - 1),
			 0); /* no frame is aligned to 2 MiB */
	iommu_domain_stats(d, &s);
	assert_int_equal(s.io_entries[1], 0);
	unmap(1UL << 18, 1UL << 18);
	iommu_domain_stats(d, &s);
	assert_int_equal(s.io_references, (1UL << 18) - 1);
	vtd_execute(0, ~0u);
	vtd_interrupts();
	while (vtd_work())
		steps++;
	assert_in_range(steps, 500, 2000);
	iommu_domain_stats(d, &s);
	assert_int_equal(s.io_references, 0);
	assert_int_equal(s.io_entries[0], 0);
	assert_int_equal(s.io_tables, 1); /* the root */
	finish(false);
}

/* The range begins inside the first superpage of one gigabyte and ends inside the last superpage of
 * the next. Pages of these superpages before and behind the range stay mapped. */
static void ragged_ends_of_large_ranges(void **state)
{
	const dfn_t base = 1UL << 18, end = base + (2UL << 18);
	mfn_t seen;

	(void)state;
	start(&plain, false);
	assert_int_equal(map(base, VTD_RAM_FIRST + 1, 22), 0);
	assert_int_equal(map(base + 0x88, VTD_RAM_FIRST + 101, 100), 0);
	assert_int_equal(map(base + (2UL << 18) - 100, VTD_RAM_FIRST + 301, 100), 0);
	unmap(base + 0xb7, (2UL << 18) - 0xb7 - 50);
	vtd_settle();
	for (dfn_t i = 0; i < 22; i++)
		assert_true(vtd_dma(VTD_DEVICE_0, base + i, &seen));
	for (dfn_t i = 0x88; i < 0x88 + 100; i++)
		assert_int_equal(vtd_dma(VTD_DEVICE_0, base + i, &seen), i < 0xb7);
	for (dfn_t i = 0; i < 100; i++)
		assert_int_equal(vtd_dma(VTD_DEVICE_0, end - 100 + i, &seen), i >= 50);
	finish(false);
}

/* A table that loses its last entry is freed, and so are the tables above that become empty, in
 * whatever order the entries were removed. */
static void frees_empty_tables(void **state)
{
	struct weir_stats s = { 0 };

	(void)state;
	start(&plain, false);
	/* Two pages far apart, and parts of two superpages, unmapped piece by piece. */
	assert_int_equal(map(7, VTD_RAM_FIRST, 1), 0);
	assert_int_equal(map((3UL << 27) + 5, VTD_RAM_FIRST + 9, 1), 0);
	assert_int_equal(map(1UL << 18, VTD_RAM_FIRST + 512, 1024), 0);
	iommu_domain_stats(d, &s);
	assert_int_equal(s.io_tables, 1 + 2 + 2 + 2 + 1);
	unmap(7, 1);
	vtd_settle();
	unmap((3UL << 27), 100);
	vtd_settle();
	unmap((1UL << 18) + 100, 1024 - 100);
	vtd_settle();
	unmap(0, (1UL << 18) + 100);
	vtd_settle();
	iommu_domain_stats(d, &s);
	assert_int_equal(s.io_tables, 1);
	assert_int_equal(s.io_references, 0);
	finish(false);
}

/* Memory that was given to the domain page by page can still be mapped, and ends up in superpage
 * leaves. */
static void maps_a_mixed_block(void **state)
{
	mfn_t mfn = VTD_RAM_FIRST + (2UL << 18);
	struct weir_stats s = { 0 };

	(void)state;
	start(&plain, false);
	for (u64 i = 0; i < 3 * 512; i++)
		assert_int_equal(frame_set(mfn + i, 0, FRAME_RAM, OWNER), 0);
	assert_int_equal(map(512, mfn, 3 * 512), 0);
	vtd_settle();
	iommu_domain_stats(d, &s);
	assert_int_equal(s.io_entries[1], 3);
	assert_int_equal(s.io_entries[0], 0);
	assert_int_equal(frame_dev_refs(mfn + 700), 1);
	/* One page belongs to another domain: nothing is mapped, and no reference remains. */
	unmap(512, 3 * 512);
	vtd_settle();
	assert_int_equal(frame_set(mfn + 1000, 0, FRAME_RAM, OWNER + 1), 0);
	assert_int_equal(map(512, mfn, 3 * 512), -EPERM);
	vtd_settle();
	for (u64 i = 0; i < 3 * 512; i++)
		assert_int_equal(frame_dev_refs(mfn + i), 0);
	finish(false);
}

/* On hardware without superpages, a table that maps one aligned block holds a single reference
 * until one of its entries is unmapped. */
static void one_reference_for_a_table(void **state)
{
	static const struct vtd_config small = { .cap_clear = CAP_SLLPS_1G | CAP_SLLPS_2M };
	mfn_t mfn = VTD_RAM_FIRST + 1024, seen;
	struct weir_stats s = { 0 };

	(void)state;
	start(&small, false);
	assert_int_equal(map(512, mfn, 1024), 0);
	iommu_domain_stats(d, &s);
	assert_int_equal(s.io_entries[0], 1024);
	assert_int_equal(s.io_references, 2);
	for (u64 i = 0; i < 1024; i++)
		assert_int_equal(frame_dev_refs(mfn + i), 1);
	assert_true(vtd_dma(VTD_DEVICE_0, 600, &seen));
	unmap(600, 1);
	iommu_domain_stats(d, &s);
	assert_int_equal(s.io_references, 1 + 512);
	assert_int_equal(frame_dev_refs(mfn + 88), 1);
	vtd_settle();
	for (u64 i = 0; i < 1024; i++)
		assert_int_equal(frame_dev_refs(mfn + i), i != 88);
	/* Unmapping a whole table clears one entry and drops one reference. */
	unmap(1024, 512);
	vtd_settle();
	for (u64 i = 0; i < 512; i++)
		assert_int_equal(frame_dev_refs(mfn + 512 + i), 0);
	iommu_domain_stats(d, &s);
	assert_int_equal(s.io_references, 511);
	assert_int_equal(s.io_entries[0], 511);
	finish(false);
}

static int map_with(u32 perm, dfn_t dfn, mfn_t mfn, u64 nr)
{
	IOMMU_GATHER(g);
	int ret;

	assert_int_equal(iommu_gather_begin(&g, d), 0);
	ret = iommu_map(&g, dfn, mfn, nr, perm);
	iommu_gather_commit(&g, 0);
	return ret;
}

static u64 entry_of(dfn_t dfn)
{
	u64 entry[5];
	mfn_t mfn;

	return entry[iommu_walk_owner(OWNER, dfn, entry, &mfn) - 1];
}

/* A split keeps permissions, and a table whose entries have different permissions does not
 * collapse. */
static void permissions(void **state)
{
	struct weir_stats s = { 0 };
	mfn_t seen;

	(void)state;
	start(&plain, false);
	assert_int_equal(map_with(IOMMU_READ, 0, VTD_RAM_FIRST, 1UL << 18), 0);
	assert_true(vtd_dma(VTD_DEVICE_0, 5000, &seen));
	unmap(5000, 2);
	vtd_settle();
	assert_int_equal(entry_of(4999) & (SS_R | SS_W), SS_R);
	assert_int_equal(entry_of(5002) & (SS_R | SS_W), SS_R);
	assert_int_equal(entry_of(9000) & (SS_R | SS_W), SS_R);
	iommu_domain_stats(d, &s);
	assert_int_equal(s.io_splits, 2);
	assert_int_equal(s.io_entries[1], 511);
	assert_int_equal(s.io_entries[0], 510);
	assert_int_equal(map(5000, VTD_RAM_FIRST + 5000, 2), 0);
	vtd_settle();
	assert_int_equal(entry_of(5000) & (SS_R | SS_W), SS_R | SS_W);
	iommu_domain_stats(d, &s);
	assert_int_equal(s.io_entries[0], 512);
	assert_int_equal(s.io_collapses, 0);
	unmap(5000, 2);
	vtd_settle();
	assert_int_equal(map_with(IOMMU_READ, 5000, VTD_RAM_FIRST + 5000, 2), 0);
	vtd_settle();
	iommu_domain_stats(d, &s);
	assert_int_equal(s.io_entries[2], 1);
	assert_int_equal(s.io_references, 1);
	assert_int_equal(map_with(0, 1UL << 20, VTD_RAM_FIRST, 1), -EINVAL);
	finish(false);
}

/* An invalidation counts as completed when the unit has completed it, even if the release has not
 * run. */
static void completed_before_the_release(void **state)
{
	struct weir_stats before = { 0 }, s = { 0 };

	(void)state;
	start(&plain, true);
	assert_int_equal(map(0, VTD_RAM_FIRST, 4), 0);
	vtd_settle();
	iommu_domain_stats(d, &before);
	assert_int_equal(before.invalidations_completed, before.invalidations_posted);
	unmap(0, 1);
	iommu_domain_stats(d, &s);
	assert_int_equal(s.invalidations_posted, before.invalidations_posted + 2);
	assert_int_equal(s.invalidations_completed, before.invalidations_completed);
	vtd_execute(0, ~0u);
	vtd_interrupts();
	iommu_domain_stats(d, &s);
	assert_int_equal(s.invalidations_completed, before.invalidations_completed + 1);
	vtd_execute(1, ~0u);
	vtd_interrupts();
	iommu_domain_stats(d, &s);
	assert_int_equal(s.invalidations_completed, s.invalidations_posted);
	assert_int_equal(s.batches_completed, before.batches_completed);
	assert_int_equal(frame_dev_refs(VTD_RAM_FIRST), 1);
	vtd_settle();
	iommu_domain_stats(d, &s);
	assert_int_equal(s.batches_completed, before.batches_completed + 1);
	assert_int_equal(frame_dev_refs(VTD_RAM_FIRST), 0);
	finish(true);
}

static void refuses(void **state)
{
	(void)state;
	start(&plain, false);
	assert_int_equal(map(0, VTD_RAM_FIRST, 4), 0);
	assert_int_equal(map(2, VTD_RAM_FIRST + 9, 1), -EEXIST);
	assert_int_equal(map(0, VTD_RAM_FIRST, 1UL << 18), -EEXIST);
	assert_int_equal(map(8, 0x200, 1), -EPERM); /* the allocator's */
	assert_int_equal(map(1UL << 36, VTD_RAM_FIRST, 1), -ERANGE);
	assert_int_equal(map((1UL << 36) - 1, VTD_RAM_FIRST, 2), -ERANGE);
	/* What the failing call had mapped is unmapped again, after the flush. */
	assert_int_equal(map(100, VTD_RAM_FIRST + (2UL << 18) - 4, 8), -EPERM);
	vtd_settle();
	assert_int_equal(frame_dev_refs(VTD_RAM_FIRST + (2UL << 18) - 4), 0);
	assert_int_equal(iommu_attach(d, VTD_DEVICE_0, 0), -EBUSY);
	finish(false);
}

/* --- flush ---------------------------------------------------------------- */

/* While a unit may still cache an unlinked table, every flush of the domain must include the
 * paging-structure caches. */
static void leaf_flush_beside_a_structural_one(void **state)
{
	struct iommu_gather structural;

	(void)state;
	start(&plain, false);
	assert_int_equal(map(0, VTD_RAM_FIRST + 1, 512), 0);
	assert_int_equal(map(1024, VTD_RAM_FIRST + 4096, 4), 0);
	unmap(1024, 1);
	vtd_settle();
	assert_true(vtd_last_iotlb[1] & QI_IOTLB_IH);

	assert_int_equal(iommu_gather_begin(&structural, d), 0);
	iommu_unmap(&structural, 0, 512);
	unmap(1025, 1);
	vtd_execute(0, ~0u);
	assert_false(vtd_last_iotlb[1] & QI_IOTLB_IH);
	iommu_gather_commit(&structural, 0);
	vtd_settle();
	unmap(1026, 1);
	vtd_settle();
	assert_true(vtd_last_iotlb[1] & QI_IOTLB_IH);
	finish(false);
}

/* A cached superpage translation is dropped only by a flush of its full size, even if another
 * gather has split the superpage. */
static void leaf_flush_beside_a_split(void **state)
{
	IOMMU_GATHER(splitting);
	mfn_t seen;

	(void)state;
	start(&plain, false);
	assert_int_equal(map(512, VTD_RAM_FIRST, 512), 0);
	assert_true(vtd_dma(VTD_DEVICE_0, 600, &seen));
	assert_int_equal(iommu_gather_begin(&splitting, d), 0);
	iommu_unmap(&splitting, 700, 1);
	unmap(600, 1);
	vtd_settle();
	assert_int_equal(frame_dev_refs(VTD_RAM_FIRST + 88), 0);
	assert_false(vtd_dma(VTD_DEVICE_0, 600, &seen));
	vtd_check();
	iommu_gather_commit(&splitting, 0);
	vtd_settle();
	unmap(601, 1);
	vtd_settle();
	assert_int_equal(vtd_last_iotlb[0] & (3 << 4), QI_PAGE);
	finish(false);
}

static void an_empty_gather_is_free(void **state)
{
	IOMMU_GATHER(g);
	struct weir_stats s = { 0 };

	(void)state;
	start(&plain, false);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(iommu_gather_begin(&g, d), 0);
		iommu_gather_commit(&g, 0);
	}
	/* A new mapping needs no flush either: entries that are not present are not cached. */
	assert_int_equal(map(0, VTD_RAM_FIRST, 8), 0);
	iommu_domain_stats(d, &s);
	assert_int_equal(s.invalidations_posted, 0);
	assert_int_equal(s.batches_in_flight, 0);
	finish(false);
}

static void drop_a_gather(void)
{
	IOMMU_GATHER(g);

	if (!iommu_gather_begin(&g, d))
		iommu_unmap(&g, 0, 1);
}

/* A path that forgets to commit would leave devices with access to what it unmapped; a debug build
 * panics instead. */
static void a_gather_that_is_dropped(void **state)
{
	int status;
	pid_t child;

	(void)state;
	start(&plain, false);
	child = fork();
	if (!child) {
		(void)freopen("/dev/null", "w", stderr);
		drop_a_gather();
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	finish(false);
}

static void the_trace_tells_what_happened(void **state)
{
	static const u16 kinds[] = { WEIR_TRACE_MAP,	  WEIR_TRACE_COMMIT,  WEIR_TRACE_ANSWERED,
				     WEIR_TRACE_RELEASED, WEIR_TRACE_UNMAP,   WEIR_TRACE_COMMIT,
				     WEIR_TRACE_ANSWERED, WEIR_TRACE_RELEASED };
	static const struct vtd_config cm = { .cap_set = CAP_CM };
	struct weir_trace_event e[16];
	u64 from = 0, after;
	u32 n;

	(void)state;
	start(&cm, false);
	while (iommu_trace_read(&from, e, 16))
		;
	after = from;
	/* Off, as at boot. */
	assert_int_equal(map(9, VTD_RAM_FIRST, 1), 0);
	vtd_settle();
	assert_int_equal(iommu_trace_read(&from, e, 16), 0);
	assert_false(iommu_trace_pages(true));
	assert_int_equal(map(3, VTD_RAM_FIRST, 2), 0);
	vtd_settle();
	unmap(3, 2);
	vtd_settle();
	n = iommu_trace_read(&from, e, 16);
	assert_int_equal(n, ARRAY_SIZE(kinds));
	for (u32 i = 0; i < n; i++) {
		assert_int_equal(e[i].number, after + i);
		assert_int_equal(e[i].kind, kinds[i]);
		assert_int_equal(e[i].owner, OWNER);
	}
	assert_int_equal(e[4].a, 3);
	assert_int_equal(e[4].b, 2);
	assert_int_equal(e[7].a, 2);
	/* A reader that falls behind gets the events that are still in the buffer. */
	for (int i = 0; i < 2000; i++)
		assert_int_equal(map(1UL << 40, 0, 1), -ERANGE);
	assert_int_equal(iommu_trace_read(&from, e, 16), 16);
	assert_true(e[0].number > after + n);
	assert_true(iommu_trace_pages(false));
	finish(false);
}

/* In caching mode a unit also caches entries that are not present: a new mapping must be reachable
 * whichever way it was installed. */
static void caching_mode_flushes_new_mappings(void **state)
{
	static const struct vtd_config cm = { .cap_set = CAP_CM };
	static const struct {
		dfn_t dfn;
		u64 nr;
		u64 from; /* of the first frame */
	} ranges[] = { { 0, 8, 0 },	     { 1024, 512, 1024 }, { 2048, 512, 2049 },
		       { 9000, 1200, 9001 }, { 8, 1, 8 },	  { 1UL << 20, 1, 0 } };
	mfn_t seen;

	(void)state;
	start(&cm, false);
	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
		mfn_t mfn = VTD_RAM_FIRST + ranges[i].from;

		for (dfn_t at = 0; at < ranges[i].nr; at++)
			assert_false(vtd_dma(VTD_DEVICE_0, ranges[i].dfn + at, &seen));
		assert_int_equal(map(ranges[i].dfn, mfn, ranges[i].nr), 0);
		vtd_settle();
		for (dfn_t at = 0; at < ranges[i].nr; at++)
			assert_true(vtd_dma(VTD_DEVICE_0, ranges[i].dfn + at, &seen));
	}
	finish(false);
}

/* --- who has to answer ---------------------------------------------------- */

static void two_units_and_a_cpu(void **state)
{
	IOMMU_GATHER(g);
	struct iommu_batch *b;

	(void)state;
	for (int order = 0; order < 6; order++) {
		static const int orders[6][3] = { { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 },
						  { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 } };

		start(&plain, true);
		assert_int_equal(map(0, VTD_RAM_FIRST, 1), 0);
		assert_int_equal(iommu_gather_begin(&g, d), 0);
		iommu_unmap(&g, 0, 1);
		b = iommu_gather_expect(&g);
		iommu_gather_commit(&g, 1);
		for (int i = 0; i < 3; i++) {
			assert_int_equal(frame_dev_refs(VTD_RAM_FIRST), 1);
			if (orders[order][i] == 2)
				iommu_batch_answer(b);
			else
				vtd_execute((unsigned int)orders[order][i], ~0u);
			vtd_interrupts();
			while (vtd_work())
				;
		}
		assert_int_equal(frame_dev_refs(VTD_RAM_FIRST), 0);
		finish(true);
	}
}

static void an_answer_before_the_commit(void **state)
{
	IOMMU_GATHER(g);

	(void)state;
	start(&plain, false);
	assert_int_equal(map(0, VTD_RAM_FIRST, 1), 0);
	assert_int_equal(iommu_gather_begin(&g, d), 0);
	iommu_unmap(&g, 0, 1);
	iommu_batch_answer(iommu_gather_expect(&g));
	while (vtd_work())
		;
	assert_int_equal(frame_dev_refs(VTD_RAM_FIRST), 1);
	iommu_gather_commit(&g, 1);
	vtd_settle();
	assert_int_equal(frame_dev_refs(VTD_RAM_FIRST), 0);
	finish(false);
}

/* Each domain has its own batches: the 17th gather must wait, and is woken when a batch is free
 * again. */
static void batches_run_out(void **state)
{
	IOMMU_GATHER(g);

	(void)state;
	start(&plain, false);
	assert_int_equal(map(0, VTD_RAM_FIRST, 64), 0);
	for (dfn_t i = 0; i < BATCHES_PER_DOMAIN; i++)
		unmap(i, 1);
	assert_int_equal(iommu_gather_begin(&g, d), -EAGAIN);
	wakes = 0;
	vtd_settle();
	assert_int_equal(wakes, BATCHES_PER_DOMAIN);
	assert_int_equal(iommu_gather_begin(&g, d), 0);
	iommu_gather_commit(&g, 0);
	finish(false);
}

/* A gather that changes nothing wakes its domain only if its batch was the one that was missing. */
static void an_unused_batch_wakes_who_wants_it(void **state)
{
	IOMMU_GATHER(unused);
	IOMMU_GATHER(g);

	(void)state;
	start(&plain, false);
	assert_int_equal(map(0, VTD_RAM_FIRST, 64), 0);
	assert_int_equal(iommu_gather_begin(&unused, d), 0);
	iommu_gather_commit(&unused, 0);
	assert_int_equal(wakes, 0);
	assert_int_equal(iommu_gather_begin(&unused, d), 0);
	for (dfn_t i = 0; i < BATCHES_PER_DOMAIN - 1; i++)
		unmap(i, 1);
	assert_int_equal(iommu_gather_begin(&g, d), -EAGAIN);
	iommu_gather_commit(&unused, 0);
	assert_int_equal(wakes, 1);
	/* Who wanted it is awake, so the next one wakes nobody. */
	assert_int_equal(iommu_gather_begin(&g, d), 0);
	iommu_gather_commit(&g, 0);
	assert_int_equal(wakes, 1);
	finish(false);
}

static void set_again(struct iommu_request *r)
{
	r->nr = 0;
}

/* More requests than the ring has room for: they wait in software, and all complete in order. */
static void the_ring_is_full(void **state)
{
	static struct iommu_request r[300];

	(void)state;
	start(&plain, false);
	for (int i = 0; i < 300; i++) {
		list_init(&r[i].link);
		r[i].desc[0] = qi_iotlb_domain(7);
		r[i].desc[1] = qi_iotlb_domain(8);
		r[i].nr = 2;
		r[i].done = set_again;
		queue_submit(&iommu_units[0], &r[i]);
	}
	assert_in_range(vtd_execute(0, ~0u), 200, 255);
	for (int i = 0; i < 300; i++)
		if (!r[i].nr)
			fail_msg("request %d completed without an interrupt", i);
	vtd_settle();
	for (int i = 0; i < 300; i++)
		assert_int_equal(r[i].nr, 0);
	finish(false);
}

/* A request completes while the handler runs. IWC was cleared before, so the handler either sees
 * the completion or a new interrupt arrives. */
static void nothing_is_lost_while_iwc_is_set(void **state)
{
	(void)state;
	start(&plain, false);
	assert_int_equal(map(0, VTD_RAM_FIRST, 8), 0);
	unmap(0, 1);
	unmap(1, 1);
	vtd_execute(0, 3); /* completes the first: IWC is set, the interrupt pending */
	vtd_execute(0, ~0u); /* the second completion raises no interrupt */
	vtd_interrupts();
	while (vtd_work())
		;
	assert_int_equal(frame_dev_refs(VTD_RAM_FIRST), 0);
	assert_int_equal(frame_dev_refs(VTD_RAM_FIRST + 1), 0);
	finish(false);
}

static void do_the_rest(u32 r)
{
	if (r != ICS_REG)
		return;
	vtd_before_register_write = NULL;
	vtd_execute(0, ~0u);
}

/* The second request completes just before IWC is cleared for the first, too early to raise an
 * interrupt of its own. So the handler must check the status again after clearing IWC. */
static void nothing_is_lost_while_iwc_is_cleared(void **state)
{
	(void)state;
	start(&plain, false);
	assert_int_equal(map(0, VTD_RAM_FIRST, 8), 0);
	unmap(0, 1);
	unmap(1, 1);
	vtd_execute(0, 3);
	vtd_before_register_write = do_the_rest;
	vtd_interrupts();
	while (vtd_work())
		;
	assert_null(vtd_before_register_write);
	assert_int_equal(frame_dev_refs(VTD_RAM_FIRST), 0);
	assert_int_equal(frame_dev_refs(VTD_RAM_FIRST + 1), 0);
	finish(false);
}

static void a_domain_ends_with_batches_in_flight(void **state)
{
	(void)state;
	start(&plain, false);
	assert_int_equal(map(0, VTD_RAM_FIRST, 2048), 0);
	for (dfn_t i = 0; i < 10; i++)
		unmap(100 * i, 60);
	iommu_detach(VTD_DEVICE_0, mark_detached, NULL);
	vtd_execute(0, ~0u);
	vtd_interrupts();
	gone = false;
	iommu_domain_destroy(d, mark_gone, NULL);
	assert_false(gone);
	vtd_settle();
	assert_true(gone);
	for (u64 i = 0; i < 2048; i++)
		assert_int_equal(frame_dev_refs(VTD_RAM_FIRST + i), 0);
	stop();
}

/* --- leaves, against a naive count ---------------------------------------- */

/* How many leaves of each level [dfn, dfn + nr) needs, found frame by frame, largest size first. */
static void count_leaves(dfn_t dfn, mfn_t mfn, u64 nr, u64 leaves[3])
{
	memset(leaves, 0, 3 * sizeof(leaves[0]));
	while (nr) {
		unsigned int level = iommu_common.largest;

		while (level > 1 &&
		       (dfn % frames_of(level) || mfn % frames_of(level) || nr < frames_of(level)))
			level--;
		leaves[level - 1]++;
		dfn += frames_of(level);
		mfn += frames_of(level);
		nr -= frames_of(level);
	}
}

static void check_leaves(const char *how, const u64 leaves[3])
{
	struct weir_stats now = { 0 };

	iommu_domain_stats(d, &now);
	for (int i = 0; i < 3; i++)
		if (now.io_entries[i] != leaves[i])
			fail_msg("%s: %lu leaves of level %d, not %lu", how, now.io_entries[i],
				 i + 1, leaves[i]);
}

/* One call uses the largest possible leaves; mapping the same range in pieces, in any order, gives
 * the same result. */
static void leaves_are_the_largest(void **state)
{
	unsigned int seed = getenv("SEED") ? (unsigned int)atoi(getenv("SEED")) : 2026;

	(void)state;
	print_message("seed %u\n", seed);
	srand(seed);
	start(&plain, false);
	for (int round = 0; round < 150; round++) {
		u64 skew = rand() % 3 ? 0 : (u64)rand() % 512, nr, piece, leaves[3], pieces;
		dfn_t dfn = 4 * GIB_FRAMES + (rand() % 2 ? 0 : (u64)rand() % 3000);
		mfn_t mfn = VTD_RAM_FIRST + (dfn - 4 * GIB_FRAMES) + skew;

		nr = round % 30 == 29 ? GIB_FRAMES + 700 : 1 + (u64)rand() % 5000;
		count_leaves(dfn, mfn, nr, leaves);
		assert_int_equal(map(dfn, mfn, nr), 0);
		check_leaves("in one call", leaves);
		unmap(dfn, nr);
		vtd_settle();

		piece = nr > 5000 ? 131072 : 1 + (u64)rand() % 400;
		pieces = (nr + piece - 1) / piece;
		for (u64 i = 0; i < pieces; i++) {
			/* Odd pieces first, then the others in reverse order. */
			u64 at = i < pieces / 2 ? 2 * i + 1 : 2 * (pieces - 1 - i);

			assert_int_equal(map(dfn + at * piece, mfn + at * piece,
					     MIN(piece, nr - at * piece)),
					 0);
			vtd_settle();
		}
		check_leaves("in pieces", leaves);
		unmap(dfn, nr);
		vtd_settle();
	}
	finish(false);
}

/* --- interrupt remapping -------------------------------------------------- */

static int freed;

static void count_freed(void *arg)
{
	(void)arg;
	freed++;
}

static void remapping_entries(void **state)
{
	struct iommu_irtes e[MAX_DEVICES], one;
	const struct irte *entry;
	u64 address;
	u32 data;

	(void)state;
	start(&plain, false);
	for (u32 i = 0; i < MAX_DEVICES; i++) {
		assert_int_equal(iommu_irtes_alloc(&e[i], VTD_DEVICE_0, NULL, NULL), 0);
		for (u32 k = 0; k < IOMMU_IRTES; k++) {
			entry = &iommu_units[0].irtes[e[i].first + k];
			assert_int_equal(entry->lo, 0);
			assert_int_equal(entry->hi, VTD_DEVICE_0.bdf | 1 << 18);
		}
	}
	assert_int_equal(iommu_irtes_alloc(&one, VTD_DEVICE_0, NULL, NULL), -ENOSPC);
	entry = &iommu_units[0].irtes[e[3].first + 7];
	iommu_irtes_set(&e[3], 7, 0x12345, 0x41);
	assert_int_equal(entry->lo, 0x12345UL << 32 | 0x41 << 16 | 1);
	assert_int_equal(iommu_units[0].nr_irtes, 1);
	iommu_irtes_message(&e[3], 7, &address, &data);
	assert_int_equal(address, 0xfee00010 | (e[3].first + 7) << 5);
	assert_int_equal(data, 0);
	iommu_irtes_block(&e[3], true);
	assert_int_equal(entry->lo, 0x12345UL << 32 | 0x41 << 16);
	iommu_irtes_block(&e[3], false);
	assert_int_equal(entry->lo, 0x12345UL << 32 | 0x41 << 16 | 1);

	/* Changed twice and freed while the first invalidation is in progress: it is allocated
	 * again only after the last invalidation completes. */
	freed = 0;
	iommu_irtes_set(&e[3], 7, 0x12345, 0x42);
	iommu_irtes_free(&e[3], count_freed, NULL);
	assert_int_equal(entry->lo, 0);
	assert_int_equal(iommu_units[0].nr_irtes, 0);
	assert_int_equal(iommu_irtes_alloc(&one, VTD_DEVICE_0, NULL, NULL), -ENOSPC);
	vtd_execute(0, 3);
	vtd_interrupts();
	assert_int_equal(freed, 0);
	vtd_settle();
	assert_int_equal(freed, 1);
	assert_int_equal(iommu_irtes_alloc(&one, VTD_DEVICE_0, NULL, NULL), 0);
	finish(false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(released_by_the_interrupt_only),
		cmocka_unit_test(largest_leaves),
		cmocka_unit_test(splits_a_gigabyte),
		cmocka_unit_test(collapses),
		cmocka_unit_test(collapses_to_1g),
		cmocka_unit_test(unlinks_a_subtree),
		cmocka_unit_test(ragged_ends_of_large_ranges),
		cmocka_unit_test(frees_empty_tables),
		cmocka_unit_test(maps_a_mixed_block),
		cmocka_unit_test(one_reference_for_a_table),
		cmocka_unit_test(permissions),
		cmocka_unit_test(completed_before_the_release),
		cmocka_unit_test(refuses),
		cmocka_unit_test(leaf_flush_beside_a_structural_one),
		cmocka_unit_test(leaf_flush_beside_a_split),
		cmocka_unit_test(an_empty_gather_is_free),
		cmocka_unit_test(a_gather_that_is_dropped),
		cmocka_unit_test(the_trace_tells_what_happened),
		cmocka_unit_test(caching_mode_flushes_new_mappings),
		cmocka_unit_test(two_units_and_a_cpu),
		cmocka_unit_test(an_answer_before_the_commit),
		cmocka_unit_test(batches_run_out),
		cmocka_unit_test(an_unused_batch_wakes_who_wants_it),
		cmocka_unit_test(the_ring_is_full),
		cmocka_unit_test(nothing_is_lost_while_iwc_is_set),
		cmocka_unit_test(nothing_is_lost_while_iwc_is_cleared),
		cmocka_unit_test(a_domain_ends_with_batches_in_flight),
		cmocka_unit_test(leaves_are_the_largest),
		cmocka_unit_test(remapping_entries),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
