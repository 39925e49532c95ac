/* Bugs of other hypervisors in the geometry of the tables: number of levels, address width,
 * superpages, and what the CPU's caches hide from the walker. Each test says what went wrong there
 * and what would be observed here.
 *
 * sources: $(IOMMU_SRCS)
 * libs: $(IOMMU_LIBS)
 */
#include <tests/unit/iommu_fixture.h>

#include <iommu/entry.h>

/* XSA-311, XSA-445: the number of levels in a device's context entry was not that of the tables, or
 * the tables had too few levels for what was mapped. Here, for each number of levels and for units
 * with a smaller address width than the tables: the last frame is reached, and only under its own
 * number; the first frame beyond cannot be mapped and reaches nothing. */
#define OTHER_LEVELS (CAP_SAGAW_48 | CAP_SAGAW_39)
static void the_last_frame_and_the_one_behind(void **state)
{
	static const struct {
		struct vtd_config config;
		unsigned int levels, bits;
	} shapes[] = {
		{ { .cap_clear = CAP_SAGAW_48 }, 3, 39 },
		{ { 0 }, 4, 48 },
		{ { .cap_set = CAP_SAGAW_57 | CAP_MGAW, .cap_clear = OTHER_LEVELS }, 5, 57 },
		/* MGAW 39 and 45. */
		{ { .cap_set = 38UL << 16, .cap_clear = 9UL << 16 }, 4, 39 },
		{ { .cap_set = 44UL << 16, .cap_clear = 3UL << 16 }, 4, 45 },
	};

	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(shapes); i++) {
		const dfn_t limit = 1UL << (shapes[i].bits - PAGE_SHIFT);
		struct weir_stats s = { 0 };
		unsigned int levels;
		u64 entry[5];
		mfn_t seen;

		start(&shapes[i].config, false);
		assert_int_equal(iommu_levels(), shapes[i].levels);
		assert_int_equal(map(limit, VTD_RAM_FIRST, 1), -ERANGE);
		assert_int_equal(map(limit - 1, VTD_RAM_FIRST, 2), -ERANGE);
		assert_int_equal(map(0, VTD_RAM_FIRST, limit + 1), -ERANGE);
		assert_int_equal(map(~0UL, VTD_RAM_FIRST, 1), -ERANGE);
		assert_int_equal(map(1, VTD_RAM_FIRST, ~0UL), -ERANGE);
		iommu_domain_stats(d, &s);
		assert_int_equal(s.io_references, 0);

		assert_int_equal(map(limit - 1, VTD_RAM_FIRST + 3, 1), 0);
		levels = iommu_walk_owner(OWNER, limit - 1, entry, &seen);
		assert_int_equal(levels, shapes[i].levels);
		assert_true(vtd_dma(VTD_DEVICE_0, limit - 1, &seen));
		assert_int_equal(seen, VTD_RAM_FIRST + 3);
		/* The same index in every table, above the width and below. */
		for (unsigned int bit = 0; bit < 52; bit++)
			assert_false(vtd_dma(VTD_DEVICE_0, (limit - 1) ^ 1UL << bit, &seen));
		unmap(limit - 1, 1);
		vtd_settle();
		assert_false(vtd_dma(VTD_DEVICE_0, limit - 1, &seen));
		finish(false);
	}
}

static size_t two_units(u8 *table)
{
	memset(table, 0, 80);
	table[36] = 47;
	for (unsigned int i = 0; i < 2; i++) {
		const u64 base = MACHINE_REGS + i * MACHINE_REGS_STEP;
		u8 *p = table + 48 + 16 * i;

		p[2] = 16;
		p[4] = (u8)i; /* the second unit has all devices */
		memcpy(p + 8, &base, 8);
	}
	return 80;
}

/* XSA-390: tables were shared with a unit that could not walk all of their levels. Here all units
 * share a domain's tables: the tables use only what all units support, with the number of levels
 * that most of them know. */
static void units_that_differ(void **state)
{
	static const struct iommu_options options;
	static const struct {
		u64 cap[2], ecap[2];
		unsigned int levels, largest;
		u64 bits;
		bool coherent, snoop;
	} pairs[] = {
		{ { CAP_SAGAW_39 | CAP_SAGAW_48 | CAP_SLLPS_2M,
		    CAP_SAGAW_39 | CAP_SLLPS_1G | CAP_SLLPS_2M },
		  { ECAP_C | ECAP_SC, ECAP_C | ECAP_SC },
		  3,
		  2,
		  39,
		  true,
		  true },
		{ { CAP_SAGAW_48 | CAP_SLLPS_1G | CAP_SLLPS_2M,
		    CAP_SAGAW_39 | CAP_SAGAW_48 | CAP_SLLPS_1G },
		  { ECAP_C, ECAP_SC },
		  4,
		  3,
		  48,
		  false,
		  false },
		{ { CAP_SAGAW_48, CAP_SAGAW_48 | CAP_SLLPS_2M }, { 0, ECAP_C }, 4, 1, 48, 0, 0 },
		/* The other unit is not used. */
		{ { CAP_SAGAW_39, CAP_SAGAW_48 }, { ECAP_C, 0 }, 4, 1, 48, false, false },
		{ { CAP_SAGAW_57, OTHER_LEVELS }, { 0, ECAP_C }, 4, 1, 48, true, false },
	};

	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(pairs); i++) {
		u8 dmar[80];
		size_t size = two_units(dmar);

		assert_true(vtd_start(&plain));
		memset(iommu_units, 0, sizeof(iommu_units));
		memset(&iommu_common, 0, sizeof(iommu_common));
		iommu_nr_units = 0;
		for (unsigned int n = 0; n < 2; n++) {
			struct vtd_unit *u = &vtd_units[n];
			u64 shape = CAP_SAGAW | CAP_SLLPS_1G | CAP_SLLPS_2M;
			u64 cap = (vtd_reg64(u, CAP_REG) & ~shape) | pairs[i].cap[n];

			vtd_set_reg64(u, CAP_REG, cap);
			vtd_set_reg64(u, ECAP_REG,
				      (vtd_reg64(u, ECAP_REG) & ~(ECAP_C | ECAP_SC)) |
					      pairs[i].ecap[n]);
			vtd_set_reg64(u, IQH_REG, 0);
			vtd_set_reg64(u, IQT_REG, 0);
		}
		assert_int_equal(iommu_init(dmar, size, &options), 0);
		assert_int_equal(iommu_common.levels, pairs[i].levels);
		assert_int_equal(iommu_common.largest, pairs[i].largest);
		assert_int_equal(iommu_common.limit, 1UL << (pairs[i].bits - PAGE_SHIFT));
		assert_int_equal(iommu_common.coherent, pairs[i].coherent);
		assert_int_equal(!!iommu_common.snoop, pairs[i].snoop);
		vtd_stop();
	}
}

/* XSA-402: cleared memory was still in the CPU's caches, and requests that do not snoop them read
 * what the last owner had left in memory. Here units that support it are told to snoop whatever a
 * device asks for: each leaf says so, however it was created. */
static void leaves_are_snooped(void **state)
{
	static const struct vtd_config snoop = { .ecap_set = ECAP_SC };
	const dfn_t at[] = { 1UL << 18, (1UL << 18) + 99, 3, 512, 1023 };
	IOMMU_GATHER(g);

	(void)state;
	for (int can = 0; can < 2; can++) {
		start(can ? &snoop : &plain, false);
		assert_int_equal(map(1UL << 18, VTD_RAM_FIRST, 1UL << 18), 0);
		unmap((1UL << 18) + 100, 1);
		assert_int_equal(map(3, VTD_RAM_FIRST + (1UL << 18) + 3, 1), 0);
		for (u64 i = 0; i < 512; i++)
			assert_int_equal(map(512 + i, VTD_RAM_FIRST + (1UL << 18) + 512 + i, 1), 0);
		unmap(512, 1);
		vtd_settle();
		assert_int_equal(iommu_gather_begin(&g, d), 0);
		assert_false(iommu_map(&g, 512, VTD_RAM_FIRST + (1UL << 18) + 512, 1, IOMMU_READ));
		iommu_gather_commit(&g, 0);
		vtd_settle();
		for (u32 i = 0; i < ARRAY_SIZE(at); i++) {
			u64 entry[5];
			mfn_t mfn, seen;
			unsigned int n = iommu_walk_owner(OWNER, at[i], entry, &mfn);

			assert_true(n && is_present(entry[n - 1]));
			assert_int_equal(!!(entry[n - 1] & SS_SNP), can);
			assert_true(vtd_dma(VTD_DEVICE_0, at[i], &seen));
			assert_int_equal(seen, mfn);
		}
		finish(false);
	}
}

static unsigned int write_backs;

static void count_write_backs(void)
{
	write_backs++;
}

static bool is_snooped(dfn_t dfn)
{
	u64 entry[5];
	mfn_t mfn;
	unsigned int n = iommu_walk_owner(OWNER, dfn, entry, &mfn);

	assert_true(n && is_present(entry[n - 1]));
	return entry[n - 1] & SS_SNP;
}

/* One unit without snoop control and coherence takes neither from domains that have no device
 * behind it. A device behind it is refused where memory is mapped with them, and else adapted to:
 * also to a root table that the walker has seen before. */
static void each_domain_has_what_its_units_have(void **state)
{
	static const struct vtd_config differ = { .only[0].ecap_set = ECAP_SC | ECAP_C };
	mfn_t seen;

	(void)state;
	assert_true(vtd_start(&differ));
	assert_false(iommu_common.snoop || iommu_common.coherent);
	assert_int_equal(frame_set(VTD_RAM_FIRST, ORDER_1G, FRAME_RAM, OWNER), 0);
	vtd_before_write_back = count_write_backs;
	/* Nobody has said which devices it will have. */
	assert_int_equal(iommu_domain_create(&d, OWNER, "test", wake, NULL), 0);
	assert_int_equal(iommu_attach(d, VTD_DEVICE_0, 0), 0);
	assert_int_equal(map(1, VTD_RAM_FIRST + 1, 1), 0);
	assert_false(is_snooped(1));
	assert_null(iommu_why_not_beside(d, VTD_DEVICE_1));
	assert_int_equal(iommu_attach(d, VTD_DEVICE_1, 0), 0);
	assert_true(vtd_dma(VTD_DEVICE_0, 1, &seen) && vtd_dma(VTD_DEVICE_1, 1, &seen));
	detach(VTD_DEVICE_1);
	detach(VTD_DEVICE_0);
	iommu_domain_destroy(d, mark_gone, NULL);
	vtd_settle();

	assert_int_equal(iommu_domain_create(&d, OWNER, "test", wake, NULL), 0);
	iommu_expect(d, VTD_DEVICE_0);
	assert_int_equal(iommu_attach(d, VTD_DEVICE_0, 0), 0);
	write_backs = 0;
	assert_int_equal(map(1, VTD_RAM_FIRST + 1, 600), 0);
	unmap(2, 1);
	vtd_settle();
	assert_int_equal(write_backs, 0);
	assert_true(is_snooped(1));
	assert_true(vtd_dma(VTD_DEVICE_0, 1, &seen));
	assert_non_null(strstr(iommu_why_not_beside(d, VTD_DEVICE_1), "ECAP.SC"));
	assert_int_equal(iommu_attach(d, VTD_DEVICE_1, 0), -ENODEV);
	assert_int_equal(iommu_device_state(VTD_DEVICE_1), IOMMU_DEVICE_FREE);
	/* The caches write back what they want, but not all. */
	machine_evict(virt_to_phys(d->root));
	unmap(0, 1000);
	vtd_settle();
	assert_null(iommu_why_not_beside(d, VTD_DEVICE_1));
	assert_int_equal(iommu_attach(d, VTD_DEVICE_1, 0), 0);
	assert_false(vtd_dma(VTD_DEVICE_1, 1, &seen));
	assert_int_equal(map(1, VTD_RAM_FIRST + 1, 1), 0);
	assert_false(is_snooped(1));
	assert_true(vtd_dma(VTD_DEVICE_0, 1, &seen) && vtd_dma(VTD_DEVICE_1, 1, &seen));
	detach(VTD_DEVICE_1);
	detach(VTD_DEVICE_0);
	iommu_domain_destroy(d, mark_gone, NULL);
	vtd_settle();

	/* Both are expected: it has what both have. */
	assert_int_equal(iommu_domain_create(&d, OWNER, "test", wake, NULL), 0);
	iommu_expect(d, VTD_DEVICE_0);
	iommu_expect(d, VTD_DEVICE_1);
	assert_int_equal(map(1, VTD_RAM_FIRST + 1, 1), 0);
	assert_int_equal(iommu_attach(d, VTD_DEVICE_0, 0), 0);
	assert_int_equal(iommu_attach(d, VTD_DEVICE_1, 0), 0);
	assert_true(vtd_dma(VTD_DEVICE_0, 1, &seen) && vtd_dma(VTD_DEVICE_1, 1, &seen));
	detach(VTD_DEVICE_1);
	detach(VTD_DEVICE_0);
	iommu_domain_destroy(d, mark_gone, NULL);
	vtd_settle();
	vtd_before_write_back = NULL;
	vtd_stop();
}

/* Each unit has what the other one lacks: the domain has neither, whoever is expected last. */
static void neither_of_two_units_has_both(void **state)
{
	static const struct vtd_config differ = { .only[0].ecap_set = ECAP_C,
						  .only[1].ecap_set = ECAP_SC };
	mfn_t seen;

	(void)state;
	for (int last = 0; last < 2; last++) {
		assert_true(vtd_start(&differ));
		assert_int_equal(frame_set(VTD_RAM_FIRST, ORDER_1G, FRAME_RAM, OWNER), 0);
		assert_int_equal(iommu_domain_create(&d, OWNER, "test", wake, NULL), 0);
		iommu_expect(d, last ? VTD_DEVICE_0 : VTD_DEVICE_1);
		iommu_expect(d, last ? VTD_DEVICE_1 : VTD_DEVICE_0);
		assert_int_equal(map(1, VTD_RAM_FIRST + 1, 1), 0);
		assert_int_equal(iommu_attach(d, VTD_DEVICE_0, 0), 0);
		assert_int_equal(iommu_attach(d, VTD_DEVICE_1, 0), 0);
		assert_true(vtd_dma(VTD_DEVICE_0, 1, &seen) && vtd_dma(VTD_DEVICE_1, 1, &seen));
		detach(VTD_DEVICE_1);
		detach(VTD_DEVICE_0);
		iommu_domain_destroy(d, mark_gone, NULL);
		vtd_settle();
		vtd_stop();
	}
}

static dfn_t gap;
static unsigned int looks;

/* Checks, at each write-back, that everything but the gap is reachable. */
static void look_around(void)
{
	mfn_t seen;

	looks++;
	/* Walk the tables: caches may drop any entry at any time. */
	cache_drop_all(&vtd_units[0].iotlb);
	cache_drop_all(&vtd_units[0].pointers);
	for (dfn_t i = 0; i < 1UL << 18; i += 4001) {
		bool reached = vtd_dma(VTD_DEVICE_0, (1UL << 18) + i, &seen);

		if (!reached && i != gap)
			fail_msg("frame %lx is not reached in the middle of a change", i);
		if (reached && seen != VTD_RAM_FIRST + i)
			fail_msg("frame %lx leads to %lx", i, seen);
	}
}

/* XSA-321, XSA-328, XSA-347: tables in use were changed in more than one step, or a new entry was
 * still in the CPU's cache when the walker read it. Here a gigabyte is split and collapsed again
 * while a device accesses it at every step, with units that read memory only, and CPU caches that
 * write back lines at any time. */
static void tables_change_under_a_device(void **state)
{
	struct weir_stats s = { 0 };

	(void)state;
	start(&plain, false);
	assert_false(iommu_common.coherent);
	assert_int_equal(map(1UL << 18, VTD_RAM_FIRST, 1UL << 18), 0);
	looks = 0;
	vtd_before_write_back = look_around;
	for (dfn_t i = 4001; i < 1UL << 18; i += 16 * 4001) {
		gap = i;
		unmap((1UL << 18) + i, 1);
		vtd_settle();
		assert_int_equal(map((1UL << 18) + i, VTD_RAM_FIRST + i, 1), 0);
		vtd_settle();
	}
	vtd_before_write_back = NULL;
	assert_true(looks > 20);
	iommu_domain_stats(d, &s);
	assert_true(s.io_splits >= 8 && s.io_collapses >= 8);
	assert_int_equal(s.io_entries[2], 1);
	finish(false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_last_frame_and_the_one_behind),
		cmocka_unit_test(units_that_differ),
		cmocka_unit_test(leaves_are_snooped),
		cmocka_unit_test(each_domain_has_what_its_units_have),
		cmocka_unit_test(neither_of_two_units_has_both),
		cmocka_unit_test(tables_change_under_a_device),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
