/* The control domain's identity map: its ranges (against an array of booleans), all or nothing, and
 * its cost.
 *
 * sources: $(IOMMU_SRCS)
 * libs: $(IOMMU_LIBS)
 */
#include <tests/unit/iommu_fixture.h>

#include <iommu/entry.h>
#include <iommu/identity.h>

#define FRAMES_4G (1UL << 20)

static bool want[FRAMES_4G];

static void mark(mfn_t first, mfn_t last, bool value)
{
	for (mfn_t m = first; m <= last && m < FRAMES_4G; m++)
		want[m] = value;
}

/* Random reserved ranges and holes; the interrupt window and the units' registers are never
 * mapped. */
static void reserved_ranges(void **state)
{
	struct range r[40], h[40], o[200];
	struct rangeset reserved, holes, out;

	(void)state;
	srand(7);
	start(&plain, false);
	for (int round = 0; round < 50; round++) {
		memset(want, 0, sizeof(want));
		rangeset_init(&reserved, "reserved", r, 40);
		rangeset_init(&holes, "holes", h, 40);
		rangeset_init(&out, "out", o, 200);
		for (int i = 0; i < 20; i++) {
			mfn_t first = 0xf0000 + (mfn_t)rand() % 0x18000,
			      last = first + (mfn_t)rand() % 0x1000;

			assert_int_equal(rangeset_add(&reserved, first, last), 0);
			mark(first, last, true);
		}
		for (int i = 0; i < 20; i++) {
			mfn_t first = 0xf0000 + (mfn_t)rand() % 0x18000,
			      last = first + (mfn_t)rand() % 0x800;

			assert_int_equal(rangeset_add(&holes, first, last), 0);
			mark(first, last, false);
		}
		mark(0xfee00, 0xfeeff, false);
		mark(0xfed90, 0xfed91, false);
		mark(0xfeda0, 0xfeda1, false);
		for (u32 i = 0; i < iommu_dmar.nr_units; i++) {
			const struct dmar_unit *u = &iommu_dmar.unit[i];

			mark(u->base >> PAGE_SHIFT, ((u->base + u->size) >> PAGE_SHIFT) - 1, false);
		}
		assert_int_equal(identity_reserved(&reserved, &holes, &out), 0);
		for (mfn_t m = 0xe0000; m < FRAMES_4G; m++) {
			bool registers = m >= 0xfed90 && m <= 0xfedaf;

			if (!registers && rangeset_overlaps(&out, m, m) != want[m])
				fail_msg("frame 0x%lx: expected %d", m, want[m]);
		}
		for (u32 i = 0; i < iommu_dmar.nr_units; i++)
			assert_false(rangeset_overlaps(&out, iommu_dmar.unit[i].base >> PAGE_SHIFT,
						       iommu_dmar.unit[i].base >> PAGE_SHIFT));
		assert_false(rangeset_overlaps(&out, FRAMES_4G, FRAMES_4G));
	}
	rangeset_init(&out, "out", o, 1);
	assert_int_equal(identity_reserved(&reserved, &holes, &out), -ENOSPC);
	finish(false);
}

static int map_set(const struct rangeset *set)
{
	IOMMU_GATHER(g);
	int ret;

	assert_int_equal(iommu_gather_begin(&g, d), 0);
	ret = identity_map(&g, set, 0);
	iommu_gather_commit(&g, 0);
	return ret;
}

/* Two gigabytes take two references and one or two tables, whatever the number of pages. */
static void cost_goes_with_ranges(void **state)
{
	struct range r[4];
	struct rangeset set;
	struct weir_stats s = { 0 };

	(void)state;
	start(&plain, false);
	rangeset_init(&set, "set", r, 4);
	assert_int_equal(rangeset_add(&set, VTD_RAM_FIRST, VTD_RAM_FIRST + (2UL << 18) - 1), 0);
	assert_int_equal(map_set(&set), 0);
	iommu_domain_stats(d, &s);
	assert_int_equal(s.io_entries[2], 2);
	assert_int_equal(s.io_references, 2);
	assert_int_equal(s.io_tables, 2);
	finish(false);
}

static void all_or_nothing(void **state)
{
	struct range r[4];
	struct rangeset set;

	(void)state;
	start(&plain, false);
	rangeset_init(&set, "set", r, 4);
	assert_int_equal(rangeset_add(&set, VTD_RAM_FIRST, VTD_RAM_FIRST + 5000), 0);
	/* Without an owner. */
	assert_int_equal(rangeset_add(&set, VTD_RAM_FIRST + (2UL << 18),
				      VTD_RAM_FIRST + (2UL << 18) + 5),
			 0);
	assert_int_equal(map_set(&set), -EPERM);
	vtd_settle();
	for (u64 i = 0; i <= 5000; i++)
		assert_int_equal(frame_dev_refs(VTD_RAM_FIRST + i), 0);
	finish(false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reserved_ranges),
		cmocka_unit_test(cost_goes_with_ranges),
		cmocka_unit_test(all_or_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
