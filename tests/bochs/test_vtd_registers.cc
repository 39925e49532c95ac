/* The registers of a unit: what they show, what software can change, and what commands do.
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

static void capabilities_say_what_the_features_are(void **)
{
	UnitFixture unit;
	Features &features = unit.vtd.features;

	features.fault_records = 8;
	assert_string_equal(unit.vtd.power_on().c_str(), "");
	uint64_t cap = unit.read8(CAP_REG), ecap = unit.read8(ECAP_REG);
	assert_int_equal(unit.read4(VER_REG), 0x10);
	assert_int_equal(cap & 7, 6);
	assert_int_equal(cap >> 8 & 0x1f, 6); /* 3 and 4 levels */
	assert_int_equal(cap >> 16 & 0x3f, 47);
	assert_int_equal(cap >> 34 & 0xf, 3);
	assert_int_equal(cap >> 40 & 0xff, 7);
	assert_int_equal(cap >> 48 & 0x3f, 18);
	assert_int_equal(cap >> 7 & 1, 0);
	assert_int_equal(ecap & 0x5f, 0x5e); /* QI, DT, IR, EIM, PT; not C */
	assert_int_equal(ecap >> 20 & 0xf, 15);
}

static void features_are_knobs(void **)
{
	UnitFixture unit;

	assert_string_equal(unit.set("levels", "5").c_str(), "");
	assert_string_equal(unit.set("only_these_levels", "1").c_str(), "");
	assert_string_equal(unit.set("caching_mode", "1").c_str(), "");
	assert_string_equal(unit.set("coherent", "1").c_str(), "");
	assert_string_equal(unit.set("superpages", "0").c_str(), "");
	unit.vtd.power_on();
	uint64_t cap = unit.read8(CAP_REG);
	assert_int_equal(cap >> 8 & 0x1f, 8);
	assert_int_equal(cap >> 16 & 0x3f, 56);
	assert_int_equal(cap >> 34 & 0xf, 0);
	assert_int_equal(cap >> 7 & 1, 1);
	assert_int_equal(unit.read8(ECAP_REG) & 1, 1);
}

static void a_unit_that_cannot_be_is_refused(void **)
{
	UnitFixture unit;

	unit.vtd.features.fault_records = 257;
	assert_string_equal(unit.vtd.power_on().c_str(), "vtd0.fault_records: 1 to 256 are needed");
	unit.vtd.features.fault_records = 8;
	unit.vtd.features.levels = 6;
	assert_string_equal(unit.vtd.power_on().c_str(), "vtd0.levels: 3, 4 or 5 is needed");
}

static void many_fault_records_have_a_page_of_their_own(void **)
{
	UnitFixture unit;

	unit.vtd.features.fault_records = 256;
	unit.vtd.power_on();
	uint64_t cap = unit.read8(CAP_REG);
	unsigned last = (cap >> 24 & 0x3ff) * 16 + (cap >> 40 & 0xff) * 16;
	assert_true(last + 16 <= unit.vtd.register_bytes());
	assert_true((cap >> 24 & 0x3ff) * 16 >= 0x1000);
}

static void reserved_bits_and_read_only_registers_do_not_change(void **)
{
	UnitFixture unit;

	unit.vtd.power_on();
	uint64_t cap = unit.read8(CAP_REG);
	unit.write8(CAP_REG, 0);
	unit.write4(VER_REG, 0x60);
	unit.write4(GSTS_REG, UINT32_MAX);
	unit.write8(IQH_REG, 0x40);
	unit.write8(IQA_REG, UINT64_MAX);
	unit.write8(IRTA_REG, UINT64_MAX);
	assert_true(unit.read8(CAP_REG) == cap);
	assert_int_equal(unit.read4(VER_REG), 0x10);
	assert_int_equal(unit.read4(GSTS_REG), 0);
	assert_int_equal(unit.read8(IQH_REG), 0);
	assert_true(unit.read8(IQA_REG) == 0xfffffffffffff007);
	assert_true(unit.read8(IRTA_REG) == 0xfffffffffffff80f);
	assert_int_equal(unit.read4(0xe00), 0);
}

static void halves_of_a_register_are_written_one_by_one(void **)
{
	UnitFixture unit;

	unit.vtd.power_on();
	unit.write4(RTADDR_REG, 0x12345000);
	assert_true(unit.read8(RTADDR_REG) == 0x12345000);
	unit.write4(RTADDR_REG + 4, 7);
	assert_true(unit.read8(RTADDR_REG) == 0x712345000);
	assert_int_equal(unit.read4(RTADDR_REG + 4), 7);
	/* Two registers of 4 bytes in one access. */
	unit.write8(FECTL_REG + 8, 0x100fee00000);
	assert_int_equal(unit.read4(FECTL_REG + 12), 0x100);
	assert_true(unit.read8(FECTL_REG + 8) == 0x100fee00000);
}

static void a_root_pointer_holds_when_it_is_latched(void **)
{
	UnitFixture unit;
	uint8_t byte;

	unit.vtd.power_on();
	unit.write8(RTADDR_REG, 0x5000);
	unit.vtd.read(1, 0x1000, &byte, 1);
	assert_int_equal(fake.tables.root, 0);
	unit.command(GCMD_SRTP);
	assert_true(unit.read4(GSTS_REG) & GCMD_SRTP);
	assert_string_equal(fake.latched.c_str(), "root");
	unit.write8(RTADDR_REG, 0x6000);
	unit.vtd.read(1, 0x1000, &byte, 1);
	assert_int_equal(fake.tables.root, 0x5000);
	assert_false(fake.tables.translating);
	unit.command(GCMD_TE);
	unit.vtd.read(1, 0x1000, &byte, 1);
	assert_true(fake.tables.translating);
	assert_int_equal(unit.read4(GSTS_REG), GCMD_TE | GCMD_SRTP);
	assert_string_equal(unit.knob("misuses").c_str(), "0");
}

static void an_interrupt_table_is_latched_with_its_size(void **)
{
	UnitFixture unit;
	uint8_t byte;

	unit.vtd.power_on();
	unit.write8(IRTA_REG, 0x7000 | 1 << 11 | 7);
	unit.command(GCMD_SIRTP);
	unit.command(GCMD_IRE);
	unit.command(GCMD_CFI);
	unit.vtd.read(1, 0, &byte, 1);
	assert_int_equal(fake.tables.interrupts, 0x7000);
	assert_int_equal(fake.tables.interrupt_entries, 256);
	assert_true(fake.tables.extended && fake.tables.remapping && fake.tables.compatibility);
	unit.command(0);
	unit.write4(GCMD_REG, GCMD_CFI);
	unit.vtd.read(1, 0, &byte, 1);
	assert_false(fake.tables.remapping);
	assert_string_equal(unit.knob("misuses").c_str(), "0");
}

static void commands_are_never_read_back(void **)
{
	UnitFixture unit;

	unit.vtd.power_on();
	unit.command(GCMD_SRTP);
	assert_int_equal(unit.read4(GCMD_REG), 0);
}

static void a_command_takes_its_time(void **)
{
	UnitFixture unit;

	unit.set("delay.command", "500");
	unit.vtd.features.write_buffer_flush = true;
	unit.vtd.power_on();
	unit.command(GCMD_SRTP);
	unit.machine.advance(499);
	assert_int_equal(unit.read4(GSTS_REG), 0);
	unit.machine.advance(1);
	assert_int_equal(unit.read4(GSTS_REG), GCMD_SRTP);
	unit.command(GCMD_WBF);
	assert_int_equal(unit.read4(GSTS_REG), GCMD_SRTP | GCMD_WBF);
	unit.machine.advance(500);
	assert_int_equal(unit.read4(GSTS_REG), GCMD_SRTP);
	/* The pointer's status goes at once when it is set again. */
	unit.command(GCMD_SRTP);
	assert_int_equal(unit.read4(GSTS_REG), 0);
	assert_string_equal(unit.knob("misuses").c_str(), "0");
	unit.command(GCMD_QIE);
	assert_string_equal(unit.knob("misuses").c_str(), "1");
}

static void a_unit_that_hangs_answers_later(void **)
{
	UnitFixture unit;

	unit.vtd.power_on();
	assert_string_equal(unit.set("hang", "gcmd").c_str(), "");
	unit.command(GCMD_SRTP);
	unit.write4(PMEN_REG, 1u << 31);
	unit.write8(CCMD_REG, UINT64_C(1) << 63 | UINT64_C(1) << 61);
	unit.machine.advance(1000000000);
	assert_int_equal(unit.read4(GSTS_REG), 0);
	assert_int_equal(unit.read4(PMEN_REG) & 1, 0);
	assert_true(unit.read8(CCMD_REG) >> 63);
	unit.set("hang", "none");
	assert_int_equal(unit.read4(GSTS_REG), GCMD_SRTP);
	assert_int_equal(unit.read4(PMEN_REG) & 1, 1);
	assert_false(unit.read8(CCMD_REG) >> 63);
	assert_true(unit.set("hang", "often").find("none, gcmd, queue, status") !=
		    std::string::npos);
}

static void misuses_are_counted(void **)
{
	UnitFixture unit;

	unit.vtd.power_on();
	unit.command(GCMD_TE);
	assert_true(unit.machine.logged("TE is set without a root table"));
	unit.command(GCMD_IRE);
	assert_true(unit.machine.logged("IRE is set without an interrupt remapping table"));
	unit.write4(GCMD_REG, GCMD_TE | GCMD_IRE | GCMD_SRTP | GCMD_SIRTP);
	assert_true(unit.machine.logged("more than one command"));
	unit.command(GCMD_SFL);
	assert_true(unit.machine.logged("does not offer"));
	unit.write8(RTADDR_REG, 0x5400);
	unit.command(GCMD_SRTP);
	assert_true(unit.machine.logged("TTM"));
	assert_string_equal(unit.knob("misuses").c_str(), "5");
}

static void protected_ranges_reach_to_the_end_of_their_last_granule(void **)
{
	UnitFixture unit;
	uint8_t byte;

	unit.vtd.power_on();
	unit.write4(PLMBASE_REG, UINT32_MAX);
	assert_int_equal(unit.read4(PLMBASE_REG), 0xffe00000);
	unit.write4(PLMBASE_REG, 0x200000);
	unit.write4(PLMLIMIT_REG, 0x400000);
	unit.write8(PHMBASE_REG, 0x100000000);
	unit.write8(PHMLIMIT_REG, 0x100000000);
	unit.write4(PMEN_REG, 1u << 31);
	assert_int_equal(unit.read4(PMEN_REG), 1u << 31 | 1);
	unit.vtd.read(1, 0, &byte, 1);
	assert_true(fake.tables.protecting);
	assert_int_equal(fake.tables.protected_ranges[0].first, 0x200000);
	assert_int_equal(fake.tables.protected_ranges[0].last, 0x5fffff);
	assert_true(fake.tables.protected_ranges[1].last == 0x1001fffff);
	unit.write4(PLMBASE_REG, 0);
	assert_true(unit.machine.logged("protected range"));
	unit.write4(PMEN_REG, 0);
	unit.vtd.read(1, 0, &byte, 1);
	assert_int_equal(unit.read4(PMEN_REG), 0);
	assert_false(fake.tables.protecting);
}

static void registers_invalidate(void **)
{
	UnitFixture unit;
	unsigned iotlb = iotlb_offset();

	unit.vtd.power_on();
	assert_int_equal((unit.read8(ECAP_REG) >> 8 & 0x3ff) * 16, iotlb);
	unit.write8(CCMD_REG,
		    UINT64_C(1) << 63 | UINT64_C(3) << 61 | UINT64_C(2) << 32 | 0x120 << 16 | 7);
	assert_int_equal(unit.read8(CCMD_REG) >> 59, 0xf); /* CIRG 3, CAIG 3 */
	unit.write8(iotlb, 0x5000 | 1 << 6 | 2);
	unit.write8(iotlb + 8, UINT64_C(1) << 63 | UINT64_C(3) << 60 | UINT64_C(9) << 32);
	assert_int_equal(unit.read8(iotlb + 8) >> 57, 0x1b); /* IIRG 3, IAIG 3 */
	assert_int_equal(fake.invalidated.size(), 2);
	assert_string_equal(fake.invalidated[0].c_str(), "context selective 7 288 2");
	assert_string_equal(fake.invalidated[1].c_str(), "iotlb selective 9 20480 2 hint");
}

static void a_register_invalidation_may_be_wider_or_refused(void **)
{
	UnitFixture unit;
	unsigned iotlb = iotlb_offset();

	unit.vtd.features.page_selective = false;
	unit.vtd.power_on();
	unit.write8(iotlb + 8, UINT64_C(1) << 63 | UINT64_C(3) << 60 | UINT64_C(9) << 32);
	assert_int_equal(unit.read8(iotlb + 8) >> 57 & 3, 2);
	assert_string_equal(fake.invalidated.back().c_str(), "iotlb domain 9 0 0");
	unit.vtd.features.page_selective = true;
	unit.vtd.power_on();
	fake.invalidated.clear();
	unit.write8(iotlb, 19); /* beyond MAMV */
	unit.write8(iotlb + 8, UINT64_C(1) << 63 | UINT64_C(3) << 60);
	assert_int_equal(unit.read8(iotlb + 8) >> 57 & 3, 0);
	assert_true(fake.invalidated.empty());
}

static void registers_and_the_queue_do_not_mix(void **)
{
	UnitFixture unit;

	unit.start_queue();
	unit.write8(CCMD_REG, UINT64_C(1) << 63 | UINT64_C(1) << 61);
	assert_true(unit.machine.logged("CCMD is used while the queue is enabled"));
	unit.set("delay.command", "10");
	unit.write8(CCMD_REG, UINT64_C(1) << 63 | UINT64_C(1) << 61);
	unit.write8(CCMD_REG, 0);
	assert_true(unit.machine.logged("CCMD is written before"));
	assert_true(unit.read8(CCMD_REG) >> 63);
}

static void a_reset_forgets_all_but_the_sticky_bits(void **)
{
	UnitFixture unit;

	unit.start_queue();
	unit.write8(RTADDR_REG, 0x5000);
	unit.command(GCMD_SRTP);
	fake.answer.reason = 2;
	uint8_t byte;
	unit.vtd.read(5, 0x1000, &byte, 1);
	unit.vtd.reset();
	assert_int_equal(unit.read4(GSTS_REG), 0);
	assert_int_equal(unit.read8(RTADDR_REG), 0);
	assert_int_equal(unit.read4(FECTL_REG), CONTROL_IM);
	assert_true(unit.read4(FSTS_REG) & FSTS_PPF);
	unit.vtd.read(5, 0x1000, &byte, 1);
	assert_int_equal(fake.tables.root, 0);
}

static void accesses_go_to_memory_page_by_page(void **)
{
	UnitFixture unit;
	uint64_t value = 0x1122334455667788, back = 0;
	std::vector<uint64_t> places;

	unit.vtd.power_on();
	assert_true(unit.vtd.write(1, 0x1ffc, &value, 8));
	assert_true(unit.machine.read64(0x1ffc) == value);
	unit.vtd.memory_read = [&](uint64_t address, void *to, unsigned bytes) {
		places.push_back(address);
		unit.machine.read(address, to, bytes);
	};
	assert_true(unit.vtd.read(1, 0x1ffc, &back, 8));
	assert_true(back == value);
	assert_int_equal(places.size(), 2);
	assert_int_equal(places[1], 0x2000);
}

static void the_interrupt_range_takes_messages_only(void **)
{
	UnitFixture unit;
	uint32_t data = 0x41, back = 0;

	unit.vtd.power_on();
	assert_true(unit.vtd.write(1, 0xfee00000, &data, 4));
	assert_int_equal(unit.machine.interrupts.size(), 1);
	assert_int_equal(unit.machine.interrupts[0].vector, 0x41);
	assert_false(unit.vtd.write(1, 0xfee00000, &data, 2));
	assert_false(unit.vtd.write(1, 0xfee00002, &data, 4));
	assert_false(unit.vtd.write_translated(1, 0xfee00000, &data, 4));
	assert_false(unit.vtd.read(1, 0xfee00000, &back, 4));
	assert_int_equal(back, UINT32_MAX);
	assert_true(unit.vtd.write(1, 0xfef00000, &data, 4));
	assert_int_equal(unit.machine.interrupts.size(), 1);
	assert_string_equal(unit.knob("faults").c_str(), "0");
	fake.answer.reason = 0xe;
	assert_false(unit.vtd.write(1, 0xfee00000, &data, 2));
	assert_false(unit.vtd.read(1, 0xfee00000, &back, 4));
	assert_string_equal(unit.knob("faults").c_str(), "2");
	fake.answer.reason = 0x22;
	unit.vtd.message(1, 0xfee00000, 0x42);
	assert_int_equal(unit.machine.interrupts.size(), 1);
	assert_string_equal(unit.knob("faults").c_str(), "3");
}

static void a_translation_has_a_power_of_two_bytes(void **)
{
	UnitFixture unit;

	unit.vtd.power_on();
	fake.answer.read = true;
	fake.answer.address = 0x40000000 + 0x5678;
	fake.answer.bytes = 0x200000 - 0x5678;
	Translation answer = unit.vtd.translate(1, 0x600000 + 0x5678, false);
	assert_true(answer.read && !answer.write);
	assert_int_equal(answer.address, 0x40000000);
	assert_int_equal(answer.bytes, 0x200000);
	assert_false(answer.untranslated_only);
	assert_true(unit.vtd.translate(1, 0xfee01000, true).untranslated_only);
	fake.answer.read = false;
	answer = unit.vtd.translate(1, 0x600000, false);
	assert_int_equal(answer.bytes, 0);
	fake.answer.reason = 3;
	fake.answer.read = true;
	answer = unit.vtd.translate(1, 0x600000, false);
	assert_int_equal(answer.bytes, 0);
	assert_string_equal(unit.knob("faults").c_str(), "1");
}

int main()
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(capabilities_say_what_the_features_are),
		cmocka_unit_test(features_are_knobs),
		cmocka_unit_test(a_unit_that_cannot_be_is_refused),
		cmocka_unit_test(many_fault_records_have_a_page_of_their_own),
		cmocka_unit_test(reserved_bits_and_read_only_registers_do_not_change),
		cmocka_unit_test(halves_of_a_register_are_written_one_by_one),
		cmocka_unit_test(a_root_pointer_holds_when_it_is_latched),
		cmocka_unit_test(an_interrupt_table_is_latched_with_its_size),
		cmocka_unit_test(commands_are_never_read_back),
		cmocka_unit_test(a_command_takes_its_time),
		cmocka_unit_test(a_unit_that_hangs_answers_later),
		cmocka_unit_test(misuses_are_counted),
		cmocka_unit_test(protected_ranges_reach_to_the_end_of_their_last_granule),
		cmocka_unit_test(registers_invalidate),
		cmocka_unit_test(a_register_invalidation_may_be_wider_or_refused),
		cmocka_unit_test(registers_and_the_queue_do_not_mix),
		cmocka_unit_test(a_reset_forgets_all_but_the_sticky_bits),
		cmocka_unit_test(accesses_go_to_memory_page_by_page),
		cmocka_unit_test(the_interrupt_range_takes_messages_only),
		cmocka_unit_test(a_translation_has_a_power_of_two_bytes),
	};
	return cmocka_run_group_tests(tests, nullptr, nullptr);
}
