/* Fault records, the fault status and the two events of a unit.
 *
 * sources: tests/bochs/knobs.cc tests/bochs/testmachine.cc tests/bochs/faketranslator.cc
 * sources: tests/bochs/unit/capabilities.cc tests/bochs/unit/commands.cc
 * sources: tests/bochs/unit/descriptors.cc tests/bochs/unit/event.cc tests/bochs/unit/faults.cc
 * sources: tests/bochs/unit/invalidationregisters.cc tests/bochs/unit/protectedmemory.cc
 * sources: tests/bochs/unit/queue.cc tests/bochs/unit/queuedevices.cc
 * sources: tests/bochs/unit/registers.cc tests/bochs/unit/settings.cc tests/bochs/unit/vtd.cc */
#include <bochs/faketranslator.h>
#include <bochs/unitfixture.h>

extern "C" {
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
}

using namespace bochs;

struct FaultFixture : UnitFixture {
	explicit FaultFixture(unsigned records = 8)
	{
		vtd.features.fault_records = records;
		vtd.power_on();
		fake.answer.reason = 6;
	}

	void fault(SourceId source)
	{
		uint32_t data;

		fake.answer.info = uint64_t(source) << 12;
		assert_false(vtd.read(source, uint64_t(source) << 12, &data, 4));
		assert_int_equal(data, UINT32_MAX);
	}
	unsigned record(unsigned index)
	{
		return fault_recording_offset(vtd.features) + 16 * index;
	}
	bool full(unsigned index)
	{
		return read4(record(index) + 12) >> 31;
	}
	void clear(unsigned index)
	{
		write4(record(index) + 12, 1u << 31);
	}
	unsigned first()
	{
		return read4(FSTS_REG) >> 8 & 0xff;
	}
};

static void a_blocked_read_is_recorded(void **)
{
	FaultFixture unit;

	unit.fault(0x28);
	uint64_t upper = unit.read8(unit.record(0) + 8);
	assert_int_equal(unit.read8(unit.record(0)), 0x28000);
	assert_int_equal(upper & 0xffff, 0x28);
	assert_int_equal(upper >> 32 & 0xff, 6);
	assert_int_equal(upper >> 60, 0xc); /* F, read, untranslated */
	assert_int_equal(unit.read4(FSTS_REG), FSTS_PPF);
}

static void writes_and_address_types_are_told_apart(void **)
{
	FaultFixture unit;
	uint32_t data = 1;

	assert_false(unit.vtd.write(1, 0x1000, &data, 4));
	assert_false(unit.vtd.write_translated(1, 0x1000, &data, 4));
	unit.vtd.translate(1, 0x1000, false);
	assert_int_equal(unit.read8(unit.record(0) + 8) >> 60, 0x8);
	assert_int_equal(unit.read8(unit.record(1) + 8) >> 60, 0xa);
	assert_int_equal(unit.read8(unit.record(2) + 8) >> 60, 0xd);
	assert_int_equal(unit.machine.read32(0x1000), 0);
}

static void a_silent_fault_leaves_no_record(void **)
{
	FaultFixture unit;

	fake.answer.silent = true;
	unit.fault(1);
	assert_int_equal(unit.read4(FSTS_REG), 0);
	assert_string_equal(unit.knob("faults").c_str(), "0");
}

static void software_clears_a_record_by_its_upper_half(void **)
{
	FaultFixture unit;

	unit.fault(1);
	unit.write4(unit.record(0) + 8, UINT32_MAX);
	assert_true(unit.full(0));
	unit.write4(FSTS_REG, FSTS_PPF);
	assert_true(unit.read4(FSTS_REG) & FSTS_PPF);
	unit.clear(0);
	assert_false(unit.full(0));
	assert_false(unit.read4(FSTS_REG) & FSTS_PPF);
	assert_int_equal(unit.read8(unit.record(0) + 8) >> 32 & 0xff, 6);
}

static void records_form_a_ring(void **)
{
	FaultFixture unit(2);

	unit.fault(1);
	unit.fault(2);
	unit.clear(0);
	unit.fault(3);
	assert_int_equal(unit.read8(unit.record(0) + 8) & 0xffff, 3);
	assert_int_equal(unit.read8(unit.record(1) + 8) & 0xffff, 2);
}

static void the_first_record_stays_named_until_all_are_clear(void **)
{
	FaultFixture unit(4);

	unit.fault(1);
	unit.fault(2);
	unit.clear(0);
	assert_int_equal(unit.first(), 0);
	unit.clear(1);
	unit.fault(3);
	assert_int_equal(unit.first(), 2);
}

static void what_finds_no_room_is_lost_until_software_says_so(void **)
{
	FaultFixture unit(2);

	unit.fault(1);
	unit.fault(2);
	assert_false(unit.read4(FSTS_REG) & FSTS_PFO);
	unit.fault(3);
	assert_true(unit.read4(FSTS_REG) & FSTS_PFO);
	unit.clear(0);
	unit.clear(1);
	/* There is room, but the overflow is not serviced. */
	unit.fault(4);
	assert_false(unit.full(0) || unit.full(1));
	assert_string_equal(unit.knob("faults.lost").c_str(), "2");
	unit.write4(FSTS_REG, FSTS_PFO);
	unit.fault(5);
	assert_true(unit.full(0));
	assert_string_equal(unit.knob("faults").c_str(), "3");
}

static void faults_of_one_device_may_share_a_record(void **)
{
	FaultFixture unit;

	unit.set("compress", "1");
	unit.fault(1);
	unit.fault(1);
	unit.fault(2);
	assert_true(unit.full(0) && unit.full(1));
	assert_false(unit.full(2));
	unit.clear(0);
	unit.fault(1);
	assert_true(unit.full(2));
}

static void the_index_starts_again_with_the_unit(void **)
{
	FaultFixture unit;

	unit.command(GCMD_SRTP);
	unit.command(GCMD_TE);
	unit.fault(1);
	unit.clear(0);
	unit.write4(GCMD_REG, 0);
	unit.fault(2);
	assert_true(unit.full(0));
}

static void the_event_goes_where_its_registers_say(void **)
{
	FaultFixture unit;

	unit.write4(FECTL_REG + 4, 0x151);
	unit.write4(FECTL_REG + 8, 0xfee34004);
	unit.write4(FECTL_REG + 12, 0x100);
	unit.write4(FECTL_REG, 0);
	unit.fault(1);
	assert_int_equal(unit.machine.interrupts.size(), 1);
	const Interrupt &event = unit.machine.interrupts[0];
	assert_int_equal(event.vector, 0x51);
	assert_int_equal(event.destination, 0x134);
	assert_int_equal(event.delivery_mode, 1);
	assert_true(event.logical);
	assert_false(event.level);
}

static void only_the_first_status_raises_the_event(void **)
{
	FaultFixture unit(2);

	unit.unmask(FECTL_REG, 0x50);
	for (SourceId source = 1; source < 5; source++)
		unit.fault(source);
	assert_int_equal(unit.machine.interrupts.size(), 1);
	unit.clear(0);
	unit.clear(1);
	/* The overflow is still to be serviced. */
	unit.write4(FSTS_REG, FSTS_PFO);
	unit.fault(6);
	assert_int_equal(unit.machine.interrupts.size(), 2);
	assert_string_equal(unit.knob("interrupts").c_str(), "2");
}

static void a_masked_event_is_sent_when_it_is_unmasked(void **)
{
	FaultFixture unit;

	unit.unmask(FECTL_REG, 0x50);
	unit.write4(FECTL_REG, CONTROL_IM);
	unit.fault(1);
	assert_int_equal(unit.read4(FECTL_REG), CONTROL_IM | CONTROL_IP);
	assert_true(unit.machine.interrupts.empty());
	unit.write4(FECTL_REG, 0);
	assert_int_equal(unit.machine.interrupts.size(), 1);
	assert_int_equal(unit.read4(FECTL_REG), 0);
}

static void a_masked_event_is_dropped_when_all_is_serviced(void **)
{
	FaultFixture unit;

	unit.unmask(FECTL_REG, 0x50);
	unit.write4(FECTL_REG, CONTROL_IM);
	unit.fault(1);
	unit.clear(0);
	assert_int_equal(unit.read4(FECTL_REG), CONTROL_IM);
	unit.write4(FECTL_REG, 0);
	assert_true(unit.machine.interrupts.empty());
}

static void an_event_without_an_address_is_a_misuse(void **)
{
	FaultFixture unit;

	unit.write4(FECTL_REG, 0);
	unit.fault(1);
	assert_true(unit.machine.interrupts.empty());
	assert_string_equal(unit.knob("misuses").c_str(), "1");
}

int main()
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_blocked_read_is_recorded),
		cmocka_unit_test(writes_and_address_types_are_told_apart),
		cmocka_unit_test(a_silent_fault_leaves_no_record),
		cmocka_unit_test(software_clears_a_record_by_its_upper_half),
		cmocka_unit_test(records_form_a_ring),
		cmocka_unit_test(the_first_record_stays_named_until_all_are_clear),
		cmocka_unit_test(what_finds_no_room_is_lost_until_software_says_so),
		cmocka_unit_test(faults_of_one_device_may_share_a_record),
		cmocka_unit_test(the_index_starts_again_with_the_unit),
		cmocka_unit_test(the_event_goes_where_its_registers_say),
		cmocka_unit_test(only_the_first_status_raises_the_event),
		cmocka_unit_test(a_masked_event_is_sent_when_it_is_unmasked),
		cmocka_unit_test(a_masked_event_is_dropped_when_all_is_serviced),
		cmocka_unit_test(an_event_without_an_address_is_a_misuse),
	};
	return cmocka_run_group_tests(tests, nullptr, nullptr);
}
