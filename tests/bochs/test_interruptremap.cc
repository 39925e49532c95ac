/* Messages through the second machine's unit: remapped, blocked, or posted into a descriptor.
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

static constexpr uint64_t LOGICAL = 1 << 2, HINT = 1 << 3, LEVEL = 1 << 4, POSTED = 1 << 15,
			  URGENT = 1 << 14, SUBHANDLE = 1 << 3;
static constexpr uint64_t descriptor = 0x80000;

static uint64_t destination(uint32_t id)
{
	return uint64_t(id) << 32;
}

static uint64_t vector(uint8_t number)
{
	return uint64_t(number) << 16;
}

static uint64_t delivery(unsigned mode)
{
	return uint64_t(mode) << 5;
}

/* SVT, SQ, SID */
static uint64_t source_check(unsigned type, unsigned qualifier, SourceId id)
{
	return uint64_t(type) << 18 | uint64_t(qualifier) << 16 | id;
}

static uint64_t remappable(uint16_t handle)
{
	return 0xfee00010 | uint64_t(handle & 0x7fff) << 5 | uint64_t(handle >> 15) << 2;
}

struct Messages : TranslatorFixture {
	Interrupt interrupt = {};
	Verdict verdict;

	Messages()
	{
		features.posted_interrupts = true;
		tables.extended = true;
	}

	bool send(uint64_t address, uint32_t data = 0, SourceId source = nic)
	{
		return translator.message(source, address, data, interrupt, verdict);
	}

	unsigned reason(uint64_t address, uint32_t data = 0, SourceId source = nic)
	{
		bool delivered = send(address, data, source);
		assert_true(!delivered || verdict.reason == 0);
		return verdict.reason;
	}

	void posted_entry(uint8_t number, uint64_t low = 0)
	{
		interrupt_entry(1, P | POSTED | vector(number) | descriptor << 32 | low);
	}

	void descriptor_control(uint32_t notify, uint8_t number, uint64_t low)
	{
		machine.write64(descriptor + 32,
				uint64_t(notify) << 32 | uint64_t(number) << 16 | low);
	}
};

static void an_entry_names_destination_and_vector(void **)
{
	Messages f;

	f.interrupt_entry(5, P | destination(0x12345) | vector(0x61) | delivery(4) | LEVEL);
	assert_true(f.send(remappable(5), 0xffffffff));
	assert_int_equal(f.interrupt.destination, 0x12345);
	assert_int_equal(f.interrupt.vector, 0x61);
	assert_int_equal(f.interrupt.delivery_mode, 4);
	assert_true(f.interrupt.level);
	assert_false(f.interrupt.logical);
}

static void a_subhandle_is_added(void **)
{
	Messages f;

	f.interrupt_entry(7, P | vector(0x62));
	assert_true(f.send(remappable(5) | SUBHANDLE, 2));
	assert_int_equal(f.interrupt.vector, 0x62);
	assert_int_equal(f.reason(remappable(5), 2), 0x22);
}

static void bit_15_of_the_handle_counts(void **)
{
	Messages f;

	f.tables.interrupt_entries = 65536;
	f.interrupt_entry(0x8003, P | vector(0x63));
	assert_true(f.send(remappable(0x8003)));
	assert_int_equal(f.interrupt.vector, 0x63);
}

static void reserved_data_is_reason_20(void **)
{
	Messages f;

	f.interrupt_entry(5, P | vector(0x61));
	assert_int_equal(f.reason(remappable(5) | SUBHANDLE, 0x10000), 0x20);
	assert_int_equal(f.reason(remappable(5) | SUBHANDLE, 0), 0);
}

static void an_index_beyond_the_table_is_reason_21(void **)
{
	Messages f;

	f.interrupt_entry(256, P | vector(0x61));
	assert_int_equal(f.reason(remappable(256)), 0x21);
	assert_true(f.verdict.info == uint64_t(256) << 48);
	assert_int_equal(f.reason(remappable(255)), 0x22);
	f.tables.interrupt_entries = 65536;
	assert_int_equal(f.reason(remappable(0xffff) | SUBHANDLE, 1), 0x21);
}

static void a_missing_entry_is_reason_22(void **)
{
	Messages f;

	assert_int_equal(f.reason(remappable(3)), 0x22);
	assert_false(f.verdict.silent);
	assert_true(f.verdict.info == uint64_t(3) << 48);
	f.interrupt_entry(3, FPD);
	assert_int_equal(f.reason(remappable(3)), 0x22);
	assert_true(f.verdict.silent);
}

static void reserved_bits_of_entries_are_reason_24(void **)
{
	static const uint64_t low[] = { 1 << 12,	   1 << 14,	1 << 24,
					uint64_t(1) << 31, delivery(3), delivery(6) };
	static const uint64_t high[] = { 3 << 18, 1 << 20, uint64_t(1) << 63 };

	for (uint64_t wrong : low) {
		Messages f;
		f.interrupt_entry(1, P | wrong);
		assert_int_equal(f.reason(remappable(1)), 0x24);
	}
	for (uint64_t wrong : high) {
		Messages f;
		f.interrupt_entry(1, P, wrong);
		assert_int_equal(f.reason(remappable(1)), 0x24);
	}
}

static void without_x2apic_the_destination_has_8_bits(void **)
{
	Messages f;

	f.tables.extended = false;
	f.interrupt_entry(1, P | destination(0x1200) | vector(0x61));
	assert_true(f.send(remappable(1)));
	assert_int_equal(f.interrupt.destination, 0x12);
	for (uint32_t wrong : { 0x1u, 0x80u, 0x10000u, 0x80000000u }) {
		f.interrupt_entry(2, P | destination(wrong));
		assert_int_equal(f.reason(remappable(2)), 0x24);
	}
}

static void the_hint_chooses_among_logical_destinations(void **)
{
	Messages f;

	f.interrupt_entry(1, P | LOGICAL | HINT | destination(3));
	f.interrupt_entry(2, P | LOGICAL | destination(3));
	f.interrupt_entry(3, P | HINT | destination(3));
	assert_true(f.send(remappable(1)));
	assert_true(f.interrupt.logical);
	assert_int_equal(f.interrupt.delivery_mode, 1);
	assert_true(f.send(remappable(2)));
	assert_int_equal(f.interrupt.delivery_mode, 0);
	assert_true(f.send(remappable(3)));
	assert_int_equal(f.interrupt.delivery_mode, 0);
}

static void a_foreign_source_is_reason_26(void **)
{
	Messages f;

	f.interrupt_entry(1, P, source_check(1, 0, nic));
	assert_int_equal(f.reason(remappable(1)), 0);
	assert_int_equal(f.reason(remappable(1), 0, disk), 0x26);
	assert_int_equal(f.reason(remappable(1), 0, nic + 1), 0x26);
	assert_true(f.verdict.info == uint64_t(1) << 48);
	f.interrupt_entry(2, P, source_check(0, 0, nic));
	assert_int_equal(f.reason(remappable(2), 0, disk), 0);
	/* Its source is checked before its reserved bits. */
	f.interrupt_entry(4, P | 1 << 12, source_check(1, 0, nic));
	assert_int_equal(f.reason(remappable(4), 0, disk), 0x26);
	assert_int_equal(f.reason(remappable(4), 0, nic), 0x24);
	f.interrupt_entry(3, P | FPD, source_check(1, 0, nic));
	assert_int_equal(f.reason(remappable(3), 0, disk), 0x26);
	assert_true(f.verdict.silent);
}

static void the_qualifier_ignores_function_bits(void **)
{
	static const unsigned ignored[] = { 0, 4, 6, 7 };

	for (unsigned qualifier = 0; qualifier < 4; qualifier++) {
		Messages f;
		f.interrupt_entry(1, P, source_check(1, qualifier, nic));
		for (unsigned bits = 0; bits < 16; bits++)
			assert_int_equal(f.reason(remappable(1), 0, SourceId(nic ^ bits)),
					 bits & ~ignored[qualifier] ? 0x26 : 0);
	}
}

static void a_range_of_buses_may_be_allowed(void **)
{
	Messages f;

	f.interrupt_entry(1, P, source_check(2, 0, 0x0305));
	assert_int_equal(f.reason(remappable(1), 0, 0x02ff), 0x26);
	assert_int_equal(f.reason(remappable(1), 0, 0x0300), 0);
	assert_int_equal(f.reason(remappable(1), 0, 0x05ff), 0);
	assert_int_equal(f.reason(remappable(1), 0, 0x0600), 0x26);
}

static void old_messages_are_blocked(void **)
{
	Messages f;

	assert_int_equal(f.reason(0xfee01000, 0x41), 0x25);
	f.tables.compatibility = true;
	assert_int_equal(f.reason(0xfee01000, 0x41), 0x25);
	f.tables.extended = false;
	assert_true(f.send(0xfee01000, 0x41));
	f.tables.compatibility = false;
	assert_int_equal(f.reason(0xfee01000, 0x41), 0x25);
}

static void without_remapping_messages_are_old(void **)
{
	Messages f;

	f.tables.remapping = false;
	assert_true(f.send(0xfee12000 | 1 << 2, 0x8000 | 1 << 8 | 0x41));
	assert_int_equal(f.interrupt.destination, 0x12);
	assert_int_equal(f.interrupt.vector, 0x41);
	assert_int_equal(f.interrupt.delivery_mode, 1);
	assert_true(f.interrupt.logical && f.interrupt.level);
}

static void an_entry_stays_cached(void **)
{
	Messages f;

	f.interrupt_entry(1, P | vector(0x61));
	f.send(remappable(1));
	f.interrupt_entry(1, P | vector(0x62));
	assert_true(f.send(remappable(1)));
	assert_int_equal(f.interrupt.vector, 0x61);
	assert_int_equal(f.translator.counts.interrupt_hits, 1);
	f.translator.interrupt_table_changed();
	f.translator.invalidate_interrupts(false, 2, 0);
	f.send(remappable(1));
	assert_int_equal(f.interrupt.vector, 0x61);
	f.translator.invalidate_interrupts(false, 1, 0);
	f.send(remappable(1));
	assert_int_equal(f.interrupt.vector, 0x62);
}

static void an_invalidation_covers_its_mask(void **)
{
	Messages f;

	for (uint16_t i = 0; i < 8; i++) {
		f.interrupt_entry(i, P | vector(0x61));
		f.send(remappable(i));
		f.interrupt_entry(i, 0);
	}
	f.translator.invalidate_interrupts(false, 2, 1);
	for (uint16_t i = 0; i < 8; i++)
		assert_int_equal(f.reason(remappable(i)), i == 2 || i == 3 ? 0x22 : 0);
	f.translator.invalidate_interrupts(true, 0, 0);
	assert_int_equal(f.reason(remappable(7)), 0x22);
}

static void the_highest_entries_can_be_invalidated(void **)
{
	Messages f;

	f.tables.interrupt_entries = 65536;
	f.interrupt_entry(0xffff, P);
	f.send(remappable(0xffff));
	f.interrupt_entry(0xffff, 0);
	f.translator.invalidate_interrupts(false, 0, 16);
	assert_int_equal(f.reason(remappable(0xffff)), 0x22);
}

static void missing_entries_are_cached_under_caching_mode_only(void **)
{
	for (bool caching : { false, true }) {
		Messages f;
		f.features.caching_mode = caching;
		assert_int_equal(f.reason(remappable(1)), 0x22);
		f.interrupt_entry(1, P);
		assert_int_equal(f.reason(remappable(1)), caching ? 0x22 : 0);
	}
}

static void posted_entries_need_the_feature(void **)
{
	Messages f;

	f.features.posted_interrupts = false;
	f.posted_entry(0x61);
	assert_int_equal(f.reason(remappable(1)), 0x24);
}

static void reserved_bits_of_posted_entries_are_reason_24(void **)
{
	for (unsigned bit : { 2, 7, 12, 13, 24, 37 }) {
		Messages f;
		f.posted_entry(0x61, uint64_t(1) << bit);
		assert_int_equal(f.reason(remappable(1)), 0x24);
	}
}

static void a_posted_interrupt_notifies_once(void **)
{
	Messages f;

	f.posted_entry(0x61);
	f.descriptor_control(0x123, 0xf2, 0);
	assert_true(f.send(remappable(1)));
	assert_int_equal(f.interrupt.vector, 0xf2);
	assert_int_equal(f.interrupt.destination, 0x123);
	assert_int_equal(f.interrupt.delivery_mode, 0);
	assert_true(f.machine.read64(descriptor + 8) == uint64_t(1) << 0x21);
	assert_int_equal(f.machine.read64(descriptor + 32) & 3, 1);
	/* ON is set: the next is only recorded. */
	f.interrupt_entry(1, P | POSTED | vector(0xc0) | descriptor << 32);
	f.translator.invalidate_interrupts(true, 0, 0);
	assert_false(f.send(remappable(1)));
	assert_int_equal(f.verdict.reason, 0);
	assert_true(f.machine.read64(descriptor + 24) == 1);
	assert_true(f.machine.read64(descriptor + 8) == uint64_t(1) << 0x21);
}

static void a_suppressed_notification_waits_unless_urgent(void **)
{
	Messages f;

	f.posted_entry(0x61);
	f.descriptor_control(0, 0xf2, 2);
	assert_false(f.send(remappable(1)));
	assert_int_equal(f.verdict.reason, 0);
	assert_int_equal(f.machine.read64(descriptor + 32) & 3, 2);
	assert_true(f.machine.read64(descriptor + 8) != 0);
	f.posted_entry(0x61, URGENT);
	f.translator.invalidate_interrupts(true, 0, 0);
	assert_true(f.send(remappable(1)));
	assert_int_equal(f.machine.read64(descriptor + 32) & 3, 3);
	assert_false(f.send(remappable(1)));
}

static void without_x2apic_a_notification_has_8_bits(void **)
{
	Messages f;

	f.tables.extended = false;
	f.posted_entry(0x61);
	f.descriptor_control(0x1200, 0xf2, 0);
	assert_true(f.send(remappable(1)));
	assert_int_equal(f.interrupt.destination, 0x12);
}

static void a_descriptor_above_4_gib_is_reached(void **)
{
	Messages f;

	f.interrupt_entry(1, P | POSTED | vector(1) | uint64_t(0xc0) << 32, uint64_t(5) << 32);
	assert_true(f.send(remappable(1)));
	assert_int_equal(f.machine.read64(0x5000000c0), 2);
}

static void reserved_bits_of_a_descriptor_are_a_fault(void **)
{
	Messages f;

	f.posted_entry(0x61);
	f.descriptor_control(0, 0xf2, 4);
	assert_int_equal(f.reason(remappable(1)), 0x28);
	assert_int_equal(f.machine.read64(descriptor + 8), 0);
}

static void a_foreign_source_posts_nothing(void **)
{
	Messages f;

	f.posted_entry(0x61);
	f.machine.write64(f.tables.interrupts + 16 + 8, source_check(1, 0, nic));
	assert_int_equal(f.reason(remappable(1), 0, disk), 0x26);
	assert_int_equal(f.machine.read64(descriptor + 8), 0);
}

int main()
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_entry_names_destination_and_vector),
		cmocka_unit_test(a_subhandle_is_added),
		cmocka_unit_test(bit_15_of_the_handle_counts),
		cmocka_unit_test(reserved_data_is_reason_20),
		cmocka_unit_test(an_index_beyond_the_table_is_reason_21),
		cmocka_unit_test(a_missing_entry_is_reason_22),
		cmocka_unit_test(reserved_bits_of_entries_are_reason_24),
		cmocka_unit_test(without_x2apic_the_destination_has_8_bits),
		cmocka_unit_test(the_hint_chooses_among_logical_destinations),
		cmocka_unit_test(a_foreign_source_is_reason_26),
		cmocka_unit_test(the_qualifier_ignores_function_bits),
		cmocka_unit_test(a_range_of_buses_may_be_allowed),
		cmocka_unit_test(old_messages_are_blocked),
		cmocka_unit_test(without_remapping_messages_are_old),
		cmocka_unit_test(an_entry_stays_cached),
		cmocka_unit_test(an_invalidation_covers_its_mask),
		cmocka_unit_test(the_highest_entries_can_be_invalidated),
		cmocka_unit_test(missing_entries_are_cached_under_caching_mode_only),
		cmocka_unit_test(posted_entries_need_the_feature),
		cmocka_unit_test(reserved_bits_of_posted_entries_are_reason_24),
		cmocka_unit_test(a_posted_interrupt_notifies_once),
		cmocka_unit_test(a_suppressed_notification_waits_unless_urgent),
		cmocka_unit_test(without_x2apic_a_notification_has_8_bits),
		cmocka_unit_test(a_descriptor_above_4_gib_is_reached),
		cmocka_unit_test(reserved_bits_of_a_descriptor_are_a_fault),
		cmocka_unit_test(a_foreign_source_posts_nothing),
	};

	return cmocka_run_group_tests(tests, nullptr, nullptr);
}
