/* The second machine's walk of root, context and paging entries.
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

static void a_page_is_translated(void **)
{
	TranslatorFixture f;
	uint64_t table = f.frame();

	f.context(nic, 1, table);
	f.map(table, 0x123456000, 0x7000 | RW);
	Verdict verdict = f.translator.request(nic, 0x123456789, true);
	assert_int_equal(verdict.reason, 0);
	assert_int_equal(verdict.address, 0x7789);
	assert_int_equal(verdict.bytes, 0x1000 - 0x789);
	assert_true(verdict.read && verdict.write);
	assert_false(verdict.pass_through);
}

static void without_translation_addresses_stay(void **)
{
	TranslatorFixture f;

	f.tables.translating = false;
	assert_int_equal(f.translate(nic, 0x12345), 0x12345);
	assert_int_equal(f.translator.counts.walks, 0);
}

static void a_missing_root_entry_is_reason_1(void **)
{
	TranslatorFixture f;
	Verdict verdict = f.translator.request(0x0510, 0x5678, false);

	assert_int_equal(verdict.reason, 1);
	assert_int_equal(verdict.info, 0x5000);
	assert_false(verdict.silent);
}

static void reserved_bits_of_root_entries_are_reason_a(void **)
{
	static const uint64_t wrong[] = { 1 << 1, 1 << 11, uint64_t(1) << 46, uint64_t(1) << 63 };

	for (uint64_t bit : wrong) {
		TranslatorFixture f;
		f.root_entry(0, f.frame() | 1 | bit);
		assert_int_equal(f.read_reason(nic, 0), 0xa);
	}
	TranslatorFixture f;
	f.root_entry(0, f.frame() | 1, 1);
	assert_int_equal(f.read_reason(nic, 0), 0xa);
	f.root_entry(0, 1 << 5, 1);
	assert_int_equal(f.read_reason(nic, 0), 1);
}

static void a_missing_context_entry_is_reason_2(void **)
{
	TranslatorFixture f;

	f.context(disk, 1, f.frame());
	assert_int_equal(f.read_reason(nic, 0), 2);
	assert_false(f.translator.request(nic, 0, false).silent);
	f.context(nic, 1, f.frame(), 4, FPD);
	assert_int_equal(f.read_reason(nic, 0), 2);
	assert_true(f.translator.request(nic, 0, false).silent);
}

static void reserved_bits_of_context_entries_are_reason_b(void **)
{
	for (uint64_t low : { uint64_t(1) << 4, uint64_t(1) << 11, uint64_t(1) << 50 }) {
		TranslatorFixture f;
		f.context(nic, 1, f.frame(), 4, P | low);
		assert_int_equal(f.read_reason(nic, 0), 0xb);
	}
	for (unsigned bit : { 7, 24, 63 }) {
		TranslatorFixture f;
		f.context(nic, 1, f.frame());
		f.machine.write64(f.context_at(nic) + 8, uint64_t(1) << bit | 1 << 8 | 2);
		assert_int_equal(f.read_reason(nic, 0), 0xb);
	}
}

static void what_software_may_use_in_context_entries_is_ignored(void **)
{
	TranslatorFixture f;
	uint64_t table = f.frame();

	f.map(table, 0, 0x7000 | RW);
	f.context(nic, 1, table);
	f.machine.write64(f.context_at(nic) + 8, 0xf << 3 | 1 << 8 | 2);
	assert_int_equal(f.read_reason(nic, 0), 0);
}

static void unused_domain_id_bits_are_reserved(void **)
{
	TranslatorFixture f;
	uint64_t table = f.frame();

	f.features.domains = 2;
	f.map(table, 0, 0x7000 | RW);
	f.context(nic, 0x100, table);
	assert_int_equal(f.read_reason(nic, 0), 0xb);
	f.context(nic, 0xff, table);
	assert_int_equal(f.read_reason(nic, 0), 0);
}

static void a_width_that_is_not_offered_is_reason_3(void **)
{
	TranslatorFixture f;

	f.context(nic, 1, f.frame(), 5);
	assert_int_equal(f.read_reason(nic, 0), 3);
	f.context(nic, 1, f.frame(), 2);
	assert_int_equal(f.read_reason(nic, 0), 3);
	f.features.only_these_levels = true;
	f.context(nic, 1, f.frame(), 3);
	assert_int_equal(f.read_reason(nic, 0), 3);
	f.context(nic, 1, f.frame(), 4);
	assert_int_equal(f.read_reason(nic, 0), 6);
}

static void a_translation_type_that_is_not_offered_is_reason_3(void **)
{
	TranslatorFixture f;

	f.features.pass_through = f.features.device_tlb = false;
	f.context(nic, 1, f.frame(), 4, P | TT_PASS_THROUGH);
	assert_int_equal(f.read_reason(nic, 0), 3);
	f.context(nic, 1, f.frame(), 4, P | TT_DEVICE_TLB);
	assert_int_equal(f.read_reason(nic, 0), 3);
	f.features.pass_through = f.features.device_tlb = true;
	f.context(nic, 1, f.frame(), 4, P | 3 << 2);
	assert_int_equal(f.read_reason(nic, 0), 3);
}

static void fault_processing_can_be_disabled(void **)
{
	TranslatorFixture f;

	f.context(nic, 1, f.frame(), 4, P | FPD);
	Verdict verdict = f.translator.request(nic, 0x1000, true);
	assert_int_equal(verdict.reason, 5);
	assert_true(verdict.silent);
}

static void three_and_five_levels_translate(void **)
{
	for (unsigned levels : { 3, 5 }) {
		TranslatorFixture f;
		uint64_t table = f.frame();
		uint64_t address = levels == 3 ? 0x7ffffff000 : 0x1fffffffffff000;

		f.features.levels = 5;
		f.context(nic, 1, table, levels);
		f.map(table, address, 0x9000 | RW, 1, levels);
		assert_int_equal(f.translate(nic, address + 5), 0x9005);
	}
}

static void an_address_beyond_the_domains_width_is_reason_4(void **)
{
	TranslatorFixture f;
	uint64_t table = f.frame();

	f.context(nic, 1, table, 3);
	f.map(table, 0, 0x9000 | RW, 1, 3);
	assert_int_equal(f.read_reason(nic, 0), 0);
	assert_int_equal(f.read_reason(nic, uint64_t(1) << 39), 4);
	assert_int_equal(f.translator.request(nic, (uint64_t(1) << 39) + 5, false).info,
			 uint64_t(1) << 39);
	assert_int_equal(f.read_reason(nic, (uint64_t(1) << 39) - 1), 6);
}

static void an_address_beyond_the_units_width_is_reason_4(void **)
{
	TranslatorFixture f;

	f.features.width = 40;
	f.context(nic, 1, f.frame());
	assert_int_equal(f.read_reason(nic, (uint64_t(1) << 40) - 1), 6);
	assert_int_equal(f.read_reason(nic, uint64_t(1) << 40), 4);
	/* What passes through is not limited by it. */
	f.context(disk, 1, 0, 4, P | TT_PASS_THROUGH);
	assert_int_equal(f.read_reason(disk, uint64_t(1) << 40), 0);
}

static void missing_rights_are_reasons_5_and_6(void **)
{
	TranslatorFixture f;
	uint64_t table = f.frame();

	f.context(nic, 1, table);
	f.map(table, 0x1000, 0x7000 | R);
	f.map(table, 0x2000, 0x8000 | W);
	assert_int_equal(f.read_reason(nic, 0x1000), 0);
	assert_int_equal(f.write_reason(nic, 0x1000), 5);
	assert_int_equal(f.read_reason(nic, 0x2000), 6);
	assert_int_equal(f.write_reason(nic, 0x2000), 0);
	assert_int_equal(f.write_reason(nic, 0x3000), 5);
	assert_int_equal(f.read_reason(nic, 0x3000), 6);
}

static void rights_are_those_of_all_levels(void **)
{
	for (unsigned level = 2; level <= 4; level++) {
		TranslatorFixture f;
		uint64_t table = f.frame();

		f.context(nic, 1, table);
		f.map(table, 0x1000, 0x7000 | RW);
		uint64_t at = f.entry_at(table, 0x1000, level);
		f.machine.write64(at, f.machine.read64(at) & ~W);
		assert_int_equal(f.read_reason(nic, 0x1000), 0);
		assert_int_equal(f.write_reason(nic, 0x1000), 5);
	}
}

static void a_zero_length_read_needs_any_right(void **)
{
	TranslatorFixture f;
	uint64_t table = f.frame();

	f.context(nic, 1, table);
	f.map(table, 0x2000, 0x8000 | W);
	assert_int_equal(f.translator.zero_length_read(nic, 0x2000).reason, 0);
	assert_int_equal(f.translator.zero_length_read(nic, 0x3000).reason, 6);
	f.features.zero_length_read = false;
	assert_int_equal(f.translator.zero_length_read(nic, 0x2000).reason, 6);
}

static void superpages_translate_if_offered(void **)
{
	TranslatorFixture f;
	uint64_t table = f.frame();

	f.context(nic, 1, table);
	f.map(table, 0x40000000, 0x80000000 | RW | PS, 3);
	f.map(table, 0x80200000, 0x600000 | RW | PS, 2);
	Verdict verdict = f.translator.request(nic, 0x40345678, false);
	assert_int_equal(verdict.address, 0x80345678);
	assert_int_equal(verdict.bytes, 0x40000000 - 0x345678);
	verdict = f.translator.request(nic, 0x80212345, false);
	assert_int_equal(verdict.address, 0x612345);
	assert_int_equal(verdict.bytes, 0x200000 - 0x12345);
}

static void superpages_are_reserved_if_not_offered(void **)
{
	TranslatorFixture f;
	uint64_t table = f.frame();

	f.features.superpages = false;
	f.context(nic, 1, table);
	f.map(table, 0x40000000, 0x80000000 | RW | PS, 3);
	f.map(table, 0x80200000, 0x600000 | RW | PS, 2);
	assert_int_equal(f.read_reason(nic, 0x40000000), 0xc);
	assert_int_equal(f.read_reason(nic, 0x80200000), 0xc);
}

static void reserved_bits_of_paging_entries_are_reason_c(void **)
{
	TranslatorFixture f;
	uint64_t table = f.frame();

	f.context(nic, 1, table);
	f.map(table, 0x1000, 0x7000 | RW | SNP);
	f.map(table, 0x2000, 0x7000 | RW | uint64_t(1) << 46);
	f.map(table, 0x80200000, 0x601000 | RW | PS, 2);
	f.map(table, uint64_t(1) << 39, f.frame() | RW | PS, 4);
	assert_int_equal(f.read_reason(nic, 0x1000), 0xc);
	assert_int_equal(f.read_reason(nic, 0x2000), 0xc);
	assert_int_equal(f.read_reason(nic, 0x80200000), 0xc);
	assert_int_equal(f.read_reason(nic, uint64_t(1) << 39), 0xc);
}

static void snoop_and_transient_bits_need_their_features(void **)
{
	TranslatorFixture f;
	uint64_t table = f.frame();

	f.features.snoop_control = true;
	f.context(nic, 1, table);
	f.map(table, 0x1000, 0x7000 | RW | SNP | TM);
	assert_int_equal(f.read_reason(nic, 0x1000), 0);
	f.features.device_tlb = false;
	f.map(table, 0x2000, 0x7000 | RW | TM);
	assert_int_equal(f.read_reason(nic, 0x2000), 0xc);
}

static void bits_of_a_missing_entry_do_not_matter(void **)
{
	TranslatorFixture f;
	uint64_t table = f.frame();

	f.context(nic, 1, table);
	f.map(table, 0x1000, ~RW);
	assert_int_equal(f.read_reason(nic, 0x1000), 6);
}

static void ignored_bits_of_a_page_do_not_matter(void **)
{
	TranslatorFixture f;
	uint64_t table = f.frame();

	f.context(nic, 1, table);
	f.map(table, 0x1000, 0x7000 | RW | 0x7fc | uint64_t(0x3ff) << 52 | uint64_t(1) << 63);
	assert_int_equal(f.translate(nic, 0x1000), 0x7000);
}

static void no_page_leads_to_interrupt_addresses(void **)
{
	TranslatorFixture f;
	uint64_t table = f.frame();

	f.context(nic, 1, table);
	f.map(table, 0x1000, 0xfee00000 | RW);
	assert_int_equal(f.write_reason(nic, 0x1000), 0xe);
	assert_int_equal(f.translator.misuses, 1);
}

static void pass_through_keeps_addresses(void **)
{
	TranslatorFixture f;

	f.context(nic, 1, 0, 4, P | TT_PASS_THROUGH);
	Verdict verdict = f.translator.request(nic, 0x12345, true);
	assert_int_equal(verdict.reason, 0);
	assert_int_equal(verdict.address, 0x12345);
	assert_true(verdict.pass_through && verdict.read && verdict.write);
	f.features.width = 30;
	assert_int_equal(f.read_reason(nic, (uint64_t(1) << 46) - 1), 0);
	assert_int_equal(f.read_reason(nic, uint64_t(1) << 46), 4);
	assert_int_equal(f.translator.counts.walks, 0);
	assert_int_equal(f.translator.misuses, 0);
}

static void requests_of_ats_need_the_type(void **)
{
	for (uint64_t type : { uint64_t(0), TT_PASS_THROUGH }) {
		TranslatorFixture f;
		f.context(nic, 1, f.frame(), 4, P | type);
		assert_int_equal(f.translator.translation_request(nic, 0x1000, false).reason, 0xd);
		assert_int_equal(f.translator.translated(nic, 0x1000, true).reason, 0xd);
		assert_false(f.translator.translated(nic, 0x1000, true).silent);
	}
}

static void a_translation_request_is_answered(void **)
{
	TranslatorFixture f;
	uint64_t table = f.frame();

	f.context(nic, 1, table, 4, P | TT_DEVICE_TLB);
	f.map(table, 0x80200000, 0x600000 | R | PS, 2);
	Verdict verdict = f.translator.translation_request(nic, 0x80234000, true);
	assert_int_equal(verdict.reason, 0);
	assert_int_equal(verdict.address, 0x634000);
	assert_int_equal(verdict.bytes, 0x200000 - 0x34000);
	assert_true(verdict.read);
	assert_false(verdict.write);
}

static void a_translation_request_without_a_page_is_no_fault(void **)
{
	TranslatorFixture f;

	f.context(nic, 1, f.frame(), 4, P | TT_DEVICE_TLB);
	for (uint64_t address : { uint64_t(0x1000), uint64_t(1) << 60 }) {
		Verdict verdict = f.translator.translation_request(nic, address, true);
		assert_int_equal(verdict.reason, 0);
		assert_false(verdict.read || verdict.write);
	}
	assert_int_equal(f.translator.translation_request(disk, 0, true).reason, 2);
}

static void where_messages_go_a_device_may_only_write(void **)
{
	TranslatorFixture f;
	uint64_t table = f.frame();

	f.context(nic, 1, table, 4, P | TT_DEVICE_TLB);
	f.context(disk, 1, table);
	f.map(table, 0xfee00000, 0x600000 | RW | PS, 2);
	Verdict verdict = f.translator.translation_request(nic, 0xfee01000, false);
	assert_int_equal(verdict.reason, 0);
	assert_false(verdict.read);
	assert_true(verdict.write);
	assert_int_equal(verdict.address, 0xfee01000);
	assert_int_equal(verdict.bytes, 4096);
	assert_int_equal(f.translator.translation_request(disk, 0xfee01000, false).reason, 0xd);
	/* What is no message is a fault. */
	assert_int_equal(f.read_reason(disk, 0xfee01000), 0x29);
	assert_int_equal(f.write_reason(disk, 0xfee01000), 0x29);
	assert_int_equal(f.translator.translated(nic, 0xfee01000, true).reason, 0xe);
}

static void a_translated_request_is_not_walked(void **)
{
	TranslatorFixture f;

	f.context(nic, 1, f.frame(), 4, P | TT_DEVICE_TLB);
	Verdict verdict = f.translator.translated(nic, 0x5123, true);
	assert_int_equal(verdict.reason, 0);
	assert_int_equal(verdict.address, 0x5123);
	assert_int_equal(f.translator.counts.walks, 0);
	assert_int_equal(f.translator.translated(disk, 0x5123, true).reason, 2);
}

static void without_translation_ats_is_refused_in_silence(void **)
{
	TranslatorFixture f;

	f.tables.translating = false;
	assert_true(f.translator.translated(nic, 0x5123, true).silent);
	assert_int_not_equal(f.translator.translated(nic, 0x5123, true).reason, 0);
	assert_int_not_equal(f.translator.translation_request(nic, 0x5123, true).reason, 0);
}

static void protected_ranges_are_blocked_in_silence(void **)
{
	TranslatorFixture f;
	uint64_t table = f.frame();

	f.tables.protecting = true;
	f.tables.protected_ranges[0] = { 0x10000, 0x1ffff };
	f.tables.translating = false;
	assert_int_equal(f.read_reason(nic, 0xffff), 0);
	assert_int_not_equal(f.read_reason(nic, 0x10000), 0);
	assert_true(f.translator.request(nic, 0x1ffff, true).silent);
	assert_int_equal(f.read_reason(nic, 0x20000), 0);

	f.tables.translating = true;
	f.context(nic, 1, 0, 4, P | TT_PASS_THROUGH);
	assert_int_not_equal(f.read_reason(nic, 0x10000), 0);
	f.context(disk, 2, table, 4, P | TT_DEVICE_TLB);
	f.map(table, 0x1000, 0x10000 | RW);
	assert_int_equal(f.read_reason(disk, 0x1000), 0);
	assert_int_not_equal(f.translator.translated(disk, 0x10000, false).reason, 0);
}

int main()
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_page_is_translated),
		cmocka_unit_test(without_translation_addresses_stay),
		cmocka_unit_test(a_missing_root_entry_is_reason_1),
		cmocka_unit_test(reserved_bits_of_root_entries_are_reason_a),
		cmocka_unit_test(a_missing_context_entry_is_reason_2),
		cmocka_unit_test(reserved_bits_of_context_entries_are_reason_b),
		cmocka_unit_test(what_software_may_use_in_context_entries_is_ignored),
		cmocka_unit_test(unused_domain_id_bits_are_reserved),
		cmocka_unit_test(a_width_that_is_not_offered_is_reason_3),
		cmocka_unit_test(a_translation_type_that_is_not_offered_is_reason_3),
		cmocka_unit_test(fault_processing_can_be_disabled),
		cmocka_unit_test(three_and_five_levels_translate),
		cmocka_unit_test(an_address_beyond_the_domains_width_is_reason_4),
		cmocka_unit_test(an_address_beyond_the_units_width_is_reason_4),
		cmocka_unit_test(missing_rights_are_reasons_5_and_6),
		cmocka_unit_test(rights_are_those_of_all_levels),
		cmocka_unit_test(a_zero_length_read_needs_any_right),
		cmocka_unit_test(superpages_translate_if_offered),
		cmocka_unit_test(superpages_are_reserved_if_not_offered),
		cmocka_unit_test(reserved_bits_of_paging_entries_are_reason_c),
		cmocka_unit_test(snoop_and_transient_bits_need_their_features),
		cmocka_unit_test(bits_of_a_missing_entry_do_not_matter),
		cmocka_unit_test(ignored_bits_of_a_page_do_not_matter),
		cmocka_unit_test(no_page_leads_to_interrupt_addresses),
		cmocka_unit_test(pass_through_keeps_addresses),
		cmocka_unit_test(requests_of_ats_need_the_type),
		cmocka_unit_test(a_translation_request_is_answered),
		cmocka_unit_test(a_translation_request_without_a_page_is_no_fault),
		cmocka_unit_test(where_messages_go_a_device_may_only_write),
		cmocka_unit_test(a_translated_request_is_not_walked),
		cmocka_unit_test(without_translation_ats_is_refused_in_silence),
		cmocka_unit_test(protected_ranges_are_blocked_in_silence),
	};

	return cmocka_run_group_tests(tests, nullptr, nullptr);
}
