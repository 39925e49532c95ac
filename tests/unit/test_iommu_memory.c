/* Memory runs out half-way: each allocation of a call fails once, and only that one. The call
 * returns an error and restores everything: mappings, references, tables, batches, the allocator.
 * Operations that give memory back allocate none.
 *
 * sources: $(IOMMU_SRCS)
 * libs: $(IOMMU_LIBS) $(FAILURE_LIBS)
 */
#include <tests/unit/iommu_fixture.h>

#include <tests/unit/failures.h>

#define GIB (1UL << 18) /* in frames */
#define FREE_DFN (5UL << 27) /* nothing is mapped in these 512 GiB */

/* State that must be the same before and after. */
struct snapshot {
	struct weir_stats stats;
	u64 free, refs, walk[64];
};

/* All batches have their reserve of tables again, and none is in flight. */
static void warm(void)
{
	struct iommu_gather g[BATCHES_PER_DOMAIN];

	vtd_settle();
	for (unsigned int i = 0; i < BATCHES_PER_DOMAIN; i++)
		assert_int_equal(iommu_gather_begin(&g[i], d), 0);
	for (unsigned int i = 0; i < BATCHES_PER_DOMAIN; i++)
		iommu_gather_commit(&g[i], 0);
}

static u64 walk_of(dfn_t dfn)
{
	u64 entry[5], sum = 0;
	mfn_t mfn;
	unsigned int n = iommu_walk_owner(OWNER, dfn, entry, &mfn);

	for (unsigned int i = 0; i < n; i++)
		sum = sum * 31 + entry[i];
	return sum * 31 + mfn;
}

static struct snapshot look(void)
{
	struct snapshot s = { .free = 0 };

	warm();
	s.free = alloc_free_frames();
	iommu_domain_stats(d, &s.stats);
	for (mfn_t m = VTD_RAM_FIRST; m < VTD_RAM_FIRST + 2 * GIB; m++)
		s.refs = s.refs * 3 + frame_dev_refs(m);
	for (unsigned int i = 0; i < 16; i++) {
		s.walk[4 * i] = walk_of(i);
		s.walk[4 * i + 1] = walk_of(512 + 31 * i);
		s.walk[4 * i + 2] = walk_of(GIB + 977 * i);
		s.walk[4 * i + 3] = walk_of(FREE_DFN + 97 * i);
	}
	return s;
}

static void expect_same(const struct snapshot *a, const struct snapshot *b)
{
	assert_memory_equal(a->stats.io_entries, b->stats.io_entries, sizeof(a->stats.io_entries));
	assert_int_equal(a->stats.io_tables, b->stats.io_tables);
	assert_int_equal(a->stats.io_references, b->stats.io_references);
	assert_int_equal(a->stats.pages_held, b->stats.pages_held);
	assert_int_equal(a->stats.batches_in_flight, b->stats.batches_in_flight);
	assert_int_equal(a->refs, b->refs);
	assert_int_equal(a->free, b->free);
	assert_memory_equal(a->walk, b->walk, sizeof(a->walk));
}

/* Pages, a 2 MiB block and a 1 GiB block are mapped beforehand. */
static void begin(const struct vtd_config *config)
{
	start(config, false);
	assert_int_equal(map(0, VTD_RAM_FIRST + 5000, 16), 0);
	assert_int_equal(map(512, VTD_RAM_FIRST + 1024, 512), 0);
	assert_int_equal(map(GIB, VTD_RAM_FIRST + GIB, GIB), 0);
}

/* --- mapping -------------------------------------------------------------- */

struct range {
	dfn_t dfn;
	mfn_t mfn;
	u64 nr;
};

/* Ranges that need one new table or several, fill tables, have unaligned ends, or complete a block
 * with a neighbour. */
static const struct range ranges[] = {
	{ FREE_DFN, VTD_RAM_FIRST + 3, 1 },
	{ FREE_DFN + 7, VTD_RAM_FIRST + 3, 1300 },
	{ FREE_DFN + GIB - 700, VTD_RAM_FIRST + 9, 1400 },
	{ FREE_DFN, VTD_RAM_FIRST + 512, 512 },
	{ FREE_DFN + 2 * GIB - 100, VTD_RAM_FIRST + 512 - 100, 3 * 512 },
	{ 16, VTD_RAM_FIRST + 5016, 3 },
	{ 1024, VTD_RAM_FIRST + 1536, 512 },
};

static void mapping_fails(const struct vtd_config *config)
{
	begin(config);
	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
		const struct range *r = &ranges[i];
		struct snapshot before = look(), after;
		unsigned int n = 0, failed = 0;
		int ret = -ENOMEM;

		while (ret) {
			fail_alloc = ++n;
			ret = map(r->dfn, r->mfn, r->nr);
			/* The call fails exactly if an allocation failed. */
			assert_int_equal(fail_alloc != 0, !ret);
			nothing_fails();
			assert_true(!ret || ret == -ENOMEM);
			if (!ret)
				break;
			failed++;
			after = look();
			expect_same(&before, &after);
		}
		/* Nothing that a failed call left behind is in the way. */
		unmap(r->dfn, r->nr);
		after = look();
		expect_same(&before, &after);
		if (i < 5 && config == &plain)
			assert_true(failed > 0);
	}
	/* The gather's own tables. */
	for (unsigned int n = 1; n <= RESERVE_TABLES; n++) {
		struct snapshot before = look(), after;
		IOMMU_GATHER(g);

		unmap(GIB + 100, 1); /* takes two tables of a batch's reserve */
		vtd_settle();
		assert_int_equal(map(GIB + 100, VTD_RAM_FIRST + GIB + 100, 1), 0);
		vtd_settle();
		fail_alloc = n;
		if (iommu_gather_begin(&g, d)) {
			assert_int_equal(fail_alloc, 0);
		} else {
			assert_int_not_equal(fail_alloc, 0);
			iommu_gather_commit(&g, 0);
		}
		nothing_fails();
		after = look();
		expect_same(&before, &after);
	}
	finish(false);
}

static void mapping_fails_half_way(void **state)
{
	static const struct vtd_config small = { .cap_clear = CAP_SLLPS_1G | CAP_SLLPS_2M },
				       caching = { .cap_set = CAP_CM };

	(void)state;
	mapping_fails(&plain);
	mapping_fails(&caching);
	start(&small, false);
	assert_int_equal(map(FREE_DFN, VTD_RAM_FIRST, 1), 0);
	unmap(FREE_DFN, 1);
	finish(false);
}

/* A page that belongs to another domain ends a long range, at each size: the part before it is
 * unmapped again. */
static void a_frame_that_is_not_the_domains(void **state)
{
	static const u64 lengths[] = { 1, 5, 511, 512, 513, 1024, 1030 };

	(void)state;
	begin(&plain);
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		/* The frames behind it belong to another domain, or to nobody. */
		mfn_t end = VTD_RAM_FIRST + 2 * GIB;
		struct snapshot before = look(), after;

		assert_int_equal(map(FREE_DFN, end - lengths[i], lengths[i] + 1), -EPERM);
		after = look();
		expect_same(&before, &after);
		assert_int_equal(map(FREE_DFN - 512, end - lengths[i], lengths[i] + 512), -EPERM);
		after = look();
		expect_same(&before, &after);
	}
	finish(false);
}

/* --- what must not fail --------------------------------------------------- */

static void giving_back_takes_no_memory(void **state)
{
	static const struct {
		dfn_t dfn;
		u64 nr;
	} parts[] = { { 3, 5 },
		      { 600, 1 },
		      { 0, 1024 },
		      { GIB + 700, 1 },
		      { GIB + 511, GIB - 5000 },
		      { GIB, GIB },
		      { 0, 3 * GIB } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		IOMMU_GATHER(g);

		begin(&plain);
		assert_int_equal(iommu_gather_begin(&g, d), 0);
		fail_alloc = fail_kzalloc = 1;
		iommu_unmap(&g, parts[i].dfn, parts[i].nr);
		iommu_gather_commit(&g, parts[i].nr);
		vtd_settle();
		assert_int_equal(fail_alloc, 1);
		assert_int_equal(fail_kzalloc, 1);
		nothing_fails();
		finish(false);
	}
}

/* --- devices and domains -------------------------------------------------- */

/* Allocations: root, context table, reserved memory and its tables. Afterwards the device is free,
 * and the domain can be destroyed. */
static void attaching_fails_half_way(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < VTD_DEVICES; i++) {
		int ret = -ENOMEM;

		for (unsigned int n = 1; ret; n++) {
			u64 free;

			assert_true(n < 20);
			assert_true(vtd_start(&plain));
			assert_int_equal(iommu_domain_create(&d, OWNER, "test", wake, NULL), 0);
			warm();
			free = alloc_free_frames();
			fail_alloc = n;
			ret = iommu_attach(d, vtd_devices[i], 0);
			nothing_fails();
			vtd_settle();
			assert_true(!ret || ret == -ENOMEM);
			if (ret) {
				enum iommu_device_state now = iommu_device_state(vtd_devices[i]);
				u64 entry[5];
				mfn_t mfn;

				assert_int_equal(now, IOMMU_DEVICE_FREE);
				assert_false(vtd_dma(vtd_devices[i], VTD_RESERVED_FIRST, &mfn));
				/* Nothing of the firmware's region is left mapped. */
				(void)iommu_walk_owner(OWNER, VTD_RESERVED_FIRST, entry, &mfn);
				assert_int_equal(mfn, INVALID_MFN);
				warm();
				assert_int_equal(alloc_free_frames(), free);
				assert_int_equal(iommu_attach(d, vtd_devices[i], 0), 0);
			}
			vtd_settle();
			detach(vtd_devices[i]);
			gone = false;
			iommu_domain_destroy(d, mark_gone, NULL);
			vtd_settle();
			assert_true(gone);
			vtd_stop();
		}
	}
}

/* Reserved regions are unmapped without a single allocation, also when no batch has tables. */
static void detaching_takes_no_memory(void **state)
{
	(void)state;
	assert_true(vtd_start(&plain));
	assert_int_equal(iommu_domain_create(&d, OWNER, "test", wake, NULL), 0);
	assert_int_equal(iommu_attach(d, VTD_RESERVED_DEVICE(0), 0), 0);
	vtd_settle();
	for (unsigned int i = 0; i < BATCHES_PER_DOMAIN; i++)
		while (d->batch[i]->nr_reserve)
			free_page(d->batch[i]->reserve[--d->batch[i]->nr_reserve]);
	detached = false;
	fail_alloc = fail_kzalloc = 1;
	iommu_detach(VTD_RESERVED_DEVICE(0), mark_detached, NULL);
	vtd_settle();
	assert_int_equal(fail_alloc, 1);
	assert_int_equal(fail_kzalloc, 1);
	nothing_fails();
	assert_true(detached);
	gone = false;
	iommu_domain_destroy(d, mark_gone, NULL);
	vtd_settle();
	assert_true(gone);
	vtd_stop();
}

static struct iommu_domain *create_and_destroy(int *ret)
{
	struct iommu_domain *made = NULL;

	*ret = iommu_domain_create(&made, OWNER + 1, "other", wake, NULL);
	if (*ret)
		return NULL;
	gone = false;
	iommu_domain_destroy(made, mark_gone, NULL);
	vtd_settle();
	assert_true(gone);
	return made;
}

static void making_a_domain_fails_half_way(void **state)
{
	unsigned int *const countdowns[] = { &fail_alloc, &fail_kzalloc };
	struct iommu_domain *made[MAX_IOMMU_DOMAINS], *one_more;
	u64 free;
	int ret;

	(void)state;
	start(&plain, false);
	(void)create_and_destroy(&ret); /* fills the slabs */
	free = alloc_free_frames();
	for (size_t i = 0; i < ARRAY_SIZE(countdowns); i++) {
		unsigned int n = 0;

		do {
			u64 entry[5];
			mfn_t mfn;

			assert_true(++n < 40);
			*countdowns[i] = n;
			(void)create_and_destroy(&ret);
			assert_true(!ret || ret == -ENOMEM);
			nothing_fails();
			assert_int_equal(iommu_walk_owner(OWNER + 1, 0, entry, &mfn), 0);
			assert_in_range(free - alloc_free_frames() + 2, 0, 4);
		} while (ret);
		assert_true(n > 1);
	}
	/* Every slot of the table can still be allocated, except that of the first domain. */
	for (unsigned int i = 1; i < MAX_IOMMU_DOMAINS; i++)
		assert_false(iommu_domain_create(&made[i], (u16)(OWNER + i), "d", wake, NULL));
	assert_int_equal(iommu_domain_create(&one_more, 99, "d", wake, NULL), -ENOSPC);
	for (unsigned int i = 1; i < MAX_IOMMU_DOMAINS; i++)
		iommu_domain_destroy(made[i], mark_gone, NULL);
	vtd_settle();
	finish(false);
}

static int teardown(void **state)
{
	(void)state;
	nothing_fails();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(mapping_fails_half_way, teardown),
		cmocka_unit_test_teardown(a_frame_that_is_not_the_domains, teardown),
		cmocka_unit_test_teardown(giving_back_takes_no_memory, teardown),
		cmocka_unit_test_teardown(attaching_fails_half_way, teardown),
		cmocka_unit_test_teardown(detaching_takes_no_memory, teardown),
		cmocka_unit_test_teardown(making_a_domain_fails_half_way, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
