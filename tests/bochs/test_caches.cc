/* The second machine's caches of tables: what stays until which invalidation.
 * sources: tests/bochs/testmachine.cc tests/bochs/unit/contextcache.cc
 * sources: tests/bochs/unit/interruptcache.cc tests/bochs/unit/interruptremap.cc
 * sources: tests/bochs/unit/iotlb.cc tests/bochs/unit/pagewalk.cc
 * sources: tests/bochs/unit/pagingcache.cc tests/bochs/unit/pid.cc tests/bochs/unit/rootwalk.cc
 * sources: tests/bochs/unit/shadow.cc tests/bochs/unit/translator.cc
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
extern "C" {
#include <cmocka.h>
}

#include <bochs/translatorfixture.h>

using namespace bochs;

/* A NIC in domain 1 and a disk in domain 2, each with one page at 0x1000. */
struct TwoDomains : TranslatorFixture {
	uint64_t nic_table, disk_table;

	TwoDomains() : nic_table(frame()), disk_table(frame())
	{
		context(nic, 1, nic_table);
		context(disk, 2, disk_table);
		map(nic_table, 0x1000, 0x7000 | RW);
		map(disk_table, 0x1000, 0x8000 | RW);
		translate(nic, 0x1000);
		translate(disk, 0x1000);
	}

	void invalidate(Granularity granularity, uint16_t domain = 0, uint64_t address = 0,
			unsigned mask = 0, bool hint = false)
	{
		translator.invalidate_iotlb(granularity, domain, address, mask, hint);
	}
};

static void a_page_stays_cached_without_invalidation(void **)
{
	TwoDomains f;

	f.map(f.nic_table, 0x1000, 0);
	assert_int_equal(f.translate(nic, 0x1000), 0x7000);
	assert_int_equal(f.translator.counts.iotlb_hits, 1);
	assert_int_equal(f.translator.counts.walks, 2);
}

static void a_global_invalidation_drops_every_page(void **)
{
	TwoDomains f;

	f.map(f.nic_table, 0x1000, 0);
	f.map(f.disk_table, 0x1000, 0);
	f.invalidate(Granularity::global);
	assert_int_equal(f.read_reason(nic, 0x1000), 6);
	assert_int_equal(f.read_reason(disk, 0x1000), 6);
}

static void a_domains_invalidation_drops_only_its_pages(void **)
{
	TwoDomains f;

	f.map(f.nic_table, 0x1000, 0);
	f.map(f.disk_table, 0x1000, 0);
	f.invalidate(Granularity::domain, 1);
	assert_int_equal(f.read_reason(nic, 0x1000), 6);
	assert_int_equal(f.translate(disk, 0x1000), 0x8000);
}

static void a_pages_invalidation_drops_only_this_page(void **)
{
	TwoDomains f;

	f.map(f.nic_table, 0x2000, 0x9000 | RW);
	f.translate(nic, 0x2000);
	f.map(f.nic_table, 0x1000, 0);
	f.map(f.nic_table, 0x2000, 0);
	f.map(f.disk_table, 0x1000, 0);
	f.invalidate(Granularity::selective, 1, 0x1000);
	assert_int_equal(f.read_reason(nic, 0x1000), 6);
	assert_int_equal(f.translate(nic, 0x2000), 0x9000);
	assert_int_equal(f.translate(disk, 0x1000), 0x8000);
}

static void a_wrong_domain_id_drops_nothing(void **)
{
	TwoDomains f;

	f.map(f.nic_table, 0x1000, 0);
	f.invalidate(Granularity::selective, 3, 0x1000);
	f.invalidate(Granularity::domain, 3);
	assert_int_equal(f.translate(nic, 0x1000), 0x7000);
}

static void the_mask_covers_its_pages(void **)
{
	TwoDomains f;

	for (uint64_t page = 4; page < 12; page++) {
		f.map(f.nic_table, page << 12, (0x100 + page) << 12 | RW);
		f.translate(nic, page << 12);
		f.map(f.nic_table, page << 12, 0);
	}
	f.invalidate(Granularity::selective, 1, 4 << 12, 2);
	for (uint64_t page = 4; page < 12; page++)
		assert_int_equal(f.read_reason(nic, page << 12), page < 8 ? 6 : 0);
	assert_int_equal(f.translator.misuses, 0);
}

static void a_page_of_a_superpage_drops_all_of_it(void **)
{
	TwoDomains f;

	f.map(f.nic_table, 0x40000000, 0x80000000 | RW | PS, 3);
	f.translate(nic, 0x40000000);
	f.map(f.nic_table, 0x40000000, 0, 3);
	assert_int_equal(f.translate(nic, 0x60000000), 0xa0000000);
	f.invalidate(Granularity::selective, 1, 0x50000000);
	assert_int_equal(f.read_reason(nic, 0x60000000), 6);
}

static void a_superpage_may_be_cached_in_parts(void **)
{
	unsigned kept = 0;

	for (uint64_t seed = 1; seed <= 64; seed++) {
		TwoDomains f;
		f.map(f.nic_table, 0x80200000, 0x600000 | RW | PS, 2);
		f.whims.start(seed);
		for (unsigned page = 0; page < 8; page++)
			assert_int_equal(f.translate(nic, 0x80200000 + (page << 12)),
					 0x600000 + (page << 12));
		f.map(f.nic_table, 0x80200000, 0, 2);
		f.invalidate(Granularity::selective, 1, 0x80200000);
		for (unsigned page = 1; page < 8; page++)
			kept += f.translate(nic, 0x80200000 + (page << 12)) != ~uint64_t(0);
	}
	/* Where a single page was invalidated, others of the superpage stay now and then. */
	assert_true(kept > 0);
}

static void all_of_a_superpages_range_drops_its_parts(void **)
{
	for (uint64_t seed = 1; seed <= 64; seed++) {
		TwoDomains f;
		f.map(f.nic_table, 0x40000000, 0x80000000 | RW | PS, 3);
		f.whims.start(seed);
		for (uint64_t part = 0; part < 8; part++)
			f.translate(nic, 0x40000000 + part * 0x201000);
		f.map(f.nic_table, 0x40000000, 0, 3);
		f.invalidate(Granularity::selective, 1, 0x40000000, 18);
		for (uint64_t part = 0; part < 8; part++)
			assert_int_equal(f.read_reason(nic, 0x40000000 + part * 0x201000), 6);
	}
}

/* A table is replaced by another: the paging-structure caches still lead to the old one. */
static void replace_table(TwoDomains &f)
{
	uint64_t other = f.frame();

	f.machine.write64(other + 2 * 8, 0xb000 | RW);
	f.map(f.nic_table, 0x2000, 0x9000 | RW);
	f.map(f.nic_table, 0, other | RW, 2);
}

static void a_table_stays_cached_without_invalidation(void **)
{
	TwoDomains f;

	replace_table(f);
	assert_int_equal(f.translate(nic, 0x2000), 0x9000);
}

static void the_hint_leaves_tables_cached(void **)
{
	TwoDomains f;

	replace_table(f);
	f.invalidate(Granularity::selective, 1, 0, 4, true);
	assert_int_equal(f.translate(nic, 0x2000), 0x9000);
}

static void without_the_hint_tables_are_dropped(void **)
{
	TwoDomains f;

	replace_table(f);
	f.invalidate(Granularity::selective, 1, 0x1000, 0, false);
	assert_int_equal(f.translate(nic, 0x2000), 0xb000);
}

static void other_ranges_tables_stay_cached(void **)
{
	TwoDomains f;

	replace_table(f);
	f.invalidate(Granularity::selective, 1, 0x200000, 0, false);
	assert_int_equal(f.translate(nic, 0x2000), 0x9000);
}

static void another_domains_tables_stay_cached(void **)
{
	TwoDomains f;

	replace_table(f);
	f.invalidate(Granularity::domain, 2);
	assert_int_equal(f.translate(nic, 0x2000), 0x9000);
	f.invalidate(Granularity::domain, 1);
	assert_int_equal(f.translate(nic, 0x2000), 0xb000);
}

static void a_context_entry_stays_cached(void **)
{
	TwoDomains f;

	f.context(nic, 1, 0, 4, 0);
	f.invalidate(Granularity::global);
	assert_int_equal(f.read_reason(nic, 0x1000), 0);
	f.translator.invalidate_context(Granularity::global, 0, 0, 0);
	assert_int_equal(f.read_reason(nic, 0x1000), 2);
}

static void a_device_selective_invalidation_needs_source_and_domain(void **)
{
	TwoDomains f;

	f.context(nic, 1, 0, 4, 0);
	f.context(disk, 2, 0, 4, 0);
	f.translator.invalidate_context(Granularity::selective, 2, nic, 0);
	f.translator.invalidate_context(Granularity::selective, 2, nic + 1, 0);
	assert_int_equal(f.read_reason(nic, 0x1000), 0);
	f.translator.invalidate_context(Granularity::selective, 1, nic, 0);
	assert_int_equal(f.read_reason(nic, 0x1000), 2);
	assert_int_equal(f.read_reason(disk, 0x1000), 0);
}

static void the_function_mask_covers_functions(void **)
{
	static const unsigned covered[] = { 0x01, 0x11, 0x55, 0xff };

	for (unsigned mask = 0; mask < 4; mask++) {
		TranslatorFixture f;
		uint64_t table = f.frame();
		f.map(table, 0x1000, 0x7000 | RW);
		for (unsigned function = 0; function < 8; function++) {
			f.context(SourceId(nic + function), 1, table);
			f.translate(SourceId(nic + function), 0x1000);
			f.context(SourceId(nic + function), 1, 0, 4, 0);
		}
		f.translator.invalidate_context(Granularity::selective, 1, nic, mask);
		/* FM = 1 masks bit 2, 2 bits 2:1, 3 all: functions 0 and 4; 0, 2, 4, 6; all. */
		for (unsigned function = 0; function < 8; function++)
			assert_int_equal(f.read_reason(SourceId(nic + function), 0x1000),
					 covered[mask] >> function & 1 ? 2 : 0);
	}
}

static void a_domain_selective_invalidation_drops_its_contexts(void **)
{
	TwoDomains f;

	f.context(nic, 1, 0, 4, 0);
	f.context(disk, 2, 0, 4, 0);
	f.translator.invalidate_context(Granularity::domain, 2, 0, 0);
	assert_int_equal(f.read_reason(nic, 0x1000), 0);
	assert_int_equal(f.read_reason(disk, 0x1000), 2);
}

static void the_old_domain_id_names_a_changed_context(void **)
{
	TwoDomains f;

	f.context(nic, 5, f.disk_table);
	f.translator.invalidate_context(Granularity::selective, 5, nic, 0);
	assert_int_equal(f.translate(nic, 0x1000), 0x7000);
	f.translator.invalidate_context(Granularity::selective, 1, nic, 0);
	assert_int_equal(f.translate(nic, 0x1000), 0x8000);
}

static void a_context_invalidation_leaves_pages(void **)
{
	TwoDomains f;

	f.map(f.nic_table, 0x1000, 0);
	f.translator.invalidate_context(Granularity::global, 0, 0, 0);
	assert_int_equal(f.translate(nic, 0x1000), 0x7000);
}

/* The IOTLB is looked up by source id, and invalidated by domain id. */
static void a_source_may_use_its_old_pages_until_their_domain_is_dropped(void **)
{
	unsigned old = 0;

	for (uint64_t seed = 1; seed <= 8; seed++) {
		TwoDomains f;
		f.whims.start(seed);
		for (unsigned i = 0; i < 4; i++)
			f.translate(nic, 0x1000);
		f.context(nic, 5, f.disk_table);
		f.translator.invalidate_context(Granularity::selective, 1, nic, 0);
		for (unsigned i = 0; i < 64; i++)
			old += f.translate(nic, 0x1000) == 0x7000;
		f.invalidate(Granularity::domain, 1);
		for (unsigned i = 0; i < 64; i++)
			assert_int_equal(f.translate(nic, 0x1000), 0x8000);
	}
	assert_true(old > 0);
}

static void a_new_root_table_drops_nothing(void **)
{
	TwoDomains f;

	f.tables.root = f.frame();
	f.translator.root_changed();
	assert_int_equal(f.translate(nic, 0x1000), 0x7000);
	f.translator.invalidate_context(Granularity::global, 0, 0, 0);
	assert_int_equal(f.read_reason(nic, 0x1000), 1);
}

static void what_is_missing_is_not_cached(void **)
{
	TwoDomains f;

	assert_int_equal(f.read_reason(nic, 0x2000), 6);
	f.map(f.nic_table, 0x2000, 0x9000 | RW);
	assert_int_equal(f.translate(nic, 0x2000), 0x9000);
	assert_int_equal(f.read_reason(0x20, 0x1000), 2);
	f.context(0x20, 1, f.nic_table);
	assert_int_equal(f.translate(0x20, 0x1000), 0x7000);
}

static void caching_mode_caches_missing_pages(void **)
{
	TwoDomains f;

	f.features.caching_mode = true;
	assert_int_equal(f.read_reason(nic, 0x40000000), 6);
	f.map(f.nic_table, 0x40000000, 0x9000 | RW);
	assert_int_equal(f.read_reason(nic, 0x40000000), 6);
	f.invalidate(Granularity::selective, 2, 0x40000000);
	assert_int_equal(f.read_reason(nic, 0x40000000), 6);
	f.invalidate(Granularity::selective, 1, 0x40000000);
	assert_int_equal(f.read_reason(nic, 0x40000000), 0);
}

static void caching_mode_caches_missing_contexts_as_domain_0(void **)
{
	TranslatorFixture f;
	uint64_t table = f.frame();

	f.features.caching_mode = true;
	f.map(table, 0x1000, 0x7000 | RW);
	assert_int_equal(f.read_reason(nic, 0x1000), 1);
	f.context(nic, 1, table);
	f.translator.invalidate_context(Granularity::selective, 1, nic, 0);
	assert_int_equal(f.read_reason(nic, 0x1000), 1);
	f.translator.invalidate_context(Granularity::selective, 0, nic, 0);
	assert_int_equal(f.translate(nic, 0x1000), 0x7000);
}

static void two_tables_of_one_domain_id_are_misuse(void **)
{
	TwoDomains f;

	f.context(0x20, 1, f.disk_table);
	f.translate(0x20, 0x1000);
	assert_int_equal(f.translator.misuses, 1);
	assert_true(f.machine.logged("different tables"));
	f.context(0x28, 1, f.nic_table);
	f.translator.invalidate_context(Granularity::selective, 1, 0x20, 0);
	f.translate(0x28, 0x1000);
	assert_int_equal(f.translator.misuses, 1);
}

static void domain_id_0_under_caching_mode_is_misuse(void **)
{
	TranslatorFixture f;

	f.context(nic, 0, f.frame());
	f.read_reason(nic, 0);
	assert_int_equal(f.translator.misuses, 0);
	f.translator.reset();
	f.features.caching_mode = true;
	f.read_reason(nic, 0);
	assert_int_equal(f.translator.misuses, 1);
}

static void an_invalidation_out_of_line_is_misuse(void **)
{
	TwoDomains f;

	f.invalidate(Granularity::selective, 1, 0x1000, 1);
	assert_int_equal(f.translator.misuses, 1);
	f.invalidate(Granularity::selective, 1, 0, 19);
	assert_int_equal(f.translator.misuses, 2);
	f.invalidate(Granularity::selective, 1, 0x2fff, 1);
	assert_int_equal(f.translator.misuses, 2);
}

/* Whatever a seed decides, an invalidation that the specification says drops an entry does. */
static void whims_drop_and_prefetch_but_keep_the_rules(void **)
{
	uint64_t dropped = 0, prefetched = 0;

	for (uint64_t seed = 1; seed <= 50; seed++) {
		TwoDomains f;
		f.whims.start(seed);
		for (unsigned round = 1; round <= 50; round++) {
			uint64_t address = uint64_t(round % 7 + 2) << 12;
			uint64_t frame = uint64_t(0x1000 + round) << 12;
			f.map(f.nic_table, address, frame | RW);
			f.invalidate(Granularity::selective, 1, address, 0, round & 1);
			assert_int_equal(f.translate(nic, address), frame);
			assert_int_equal(f.translate(disk, 0x1000), 0x8000);
		}
		dropped += f.translator.counts.dropped;
		prefetched += f.translator.counts.prefetched;
		assert_int_equal(f.translator.misuses, 0);
	}
	assert_true(dropped > 0);
	assert_true(prefetched > 0);
}

static void a_seed_repeats_its_whims(void **)
{
	uint64_t walks[2];

	for (uint64_t &count : walks) {
		TwoDomains f;
		f.whims.start(7);
		for (unsigned i = 0; i < 1000; i++)
			f.translate(nic, 0x1000);
		count = f.translator.counts.walks;
	}
	assert_true(walks[0] > 3);
	assert_int_equal(walks[0], walks[1]);
}

static void a_reset_forgets_everything(void **)
{
	TwoDomains f;

	f.map(f.nic_table, 0x1000, 0x9000 | RW);
	f.translator.reset();
	assert_int_equal(f.translate(nic, 0x1000), 0x9000);
	assert_int_equal(f.translator.counts.iotlb_hits, 0);
	assert_int_equal(f.translator.counts.walks, 1);
}

int main()
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_page_stays_cached_without_invalidation),
		cmocka_unit_test(a_global_invalidation_drops_every_page),
		cmocka_unit_test(a_domains_invalidation_drops_only_its_pages),
		cmocka_unit_test(a_pages_invalidation_drops_only_this_page),
		cmocka_unit_test(a_wrong_domain_id_drops_nothing),
		cmocka_unit_test(the_mask_covers_its_pages),
		cmocka_unit_test(a_page_of_a_superpage_drops_all_of_it),
		cmocka_unit_test(a_superpage_may_be_cached_in_parts),
		cmocka_unit_test(all_of_a_superpages_range_drops_its_parts),
		cmocka_unit_test(a_table_stays_cached_without_invalidation),
		cmocka_unit_test(the_hint_leaves_tables_cached),
		cmocka_unit_test(without_the_hint_tables_are_dropped),
		cmocka_unit_test(other_ranges_tables_stay_cached),
		cmocka_unit_test(another_domains_tables_stay_cached),
		cmocka_unit_test(a_context_entry_stays_cached),
		cmocka_unit_test(a_device_selective_invalidation_needs_source_and_domain),
		cmocka_unit_test(the_function_mask_covers_functions),
		cmocka_unit_test(a_domain_selective_invalidation_drops_its_contexts),
		cmocka_unit_test(the_old_domain_id_names_a_changed_context),
		cmocka_unit_test(a_context_invalidation_leaves_pages),
		cmocka_unit_test(a_source_may_use_its_old_pages_until_their_domain_is_dropped),
		cmocka_unit_test(a_new_root_table_drops_nothing),
		cmocka_unit_test(what_is_missing_is_not_cached),
		cmocka_unit_test(caching_mode_caches_missing_pages),
		cmocka_unit_test(caching_mode_caches_missing_contexts_as_domain_0),
		cmocka_unit_test(two_tables_of_one_domain_id_are_misuse),
		cmocka_unit_test(domain_id_0_under_caching_mode_is_misuse),
		cmocka_unit_test(an_invalidation_out_of_line_is_misuse),
		cmocka_unit_test(whims_drop_and_prefetch_but_keep_the_rules),
		cmocka_unit_test(a_seed_repeats_its_whims),
		cmocka_unit_test(a_reset_forgets_everything),
	};

	return cmocka_run_group_tests(tests, nullptr, nullptr);
}
