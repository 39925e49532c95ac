/* The unit as a whole: registers, queue and translator, driven as by an operating system.
 *
 * sources: tests/bochs/knobs.cc tests/bochs/testmachine.cc
 * sources: tests/bochs/unit/capabilities.cc tests/bochs/unit/commands.cc
 * sources: tests/bochs/unit/contextcache.cc tests/bochs/unit/descriptors.cc
 * sources: tests/bochs/unit/event.cc tests/bochs/unit/faults.cc
 * sources: tests/bochs/unit/interruptcache.cc tests/bochs/unit/interruptremap.cc
 * sources: tests/bochs/unit/invalidationregisters.cc tests/bochs/unit/iotlb.cc
 * sources: tests/bochs/unit/pagewalk.cc tests/bochs/unit/pagingcache.cc tests/bochs/unit/pid.cc
 * sources: tests/bochs/unit/protectedmemory.cc tests/bochs/unit/queue.cc
 * sources: tests/bochs/unit/queuedevices.cc tests/bochs/unit/registers.cc
 * sources: tests/bochs/unit/rootwalk.cc tests/bochs/unit/settings.cc tests/bochs/unit/shadow.cc
 * sources: tests/bochs/unit/translator.cc tests/bochs/unit/vtd.cc */
#include <bochs/unitfixture.h>

extern "C" {
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
}

using namespace bochs;

constexpr SourceId NIC = 0x10;
constexpr uint64_t ROOT = 0x100000, CONTEXT = 0x101000, INTERRUPTS = 0x102000, PAGE = 0x7000;
/* The tables of 4, 3, 2 and 1 levels. */
constexpr uint64_t TABLES[] = { 0x103000, 0x104000, 0x105000, 0x106000 };

struct WholeUnit : UnitFixture {
	explicit WholeUnit(bool coherent)
	{
		vtd.features.coherent = coherent;
		machine.write64(ROOT, CONTEXT | 1);
		machine.write64(CONTEXT + NIC * 16, TABLES[0] | 1);
		machine.write64(CONTEXT + NIC * 16 + 8, 1 << 8 | 2);
		for (unsigned i = 0; i < 3; i++)
			machine.write64(TABLES[i], TABLES[i + 1] | 3);
		machine.write64(leaf(), PAGE | 3);
		vtd.power_on();
		for (uint64_t page : { ROOT, CONTEXT, TABLES[0], TABLES[1], TABLES[2], TABLES[3] })
			vtd.written_back(page, 4096);
		write8(RTADDR_REG, ROOT);
		command(GCMD_SRTP);
		write8(IRTA_REG, INTERRUPTS | 7);
		command(GCMD_SIRTP);
		write8(IQA_REG, RING);
		command(GCMD_QIE);
		command(GCMD_TE);
		command(GCMD_IRE);
	}

	/* Of the device's page 0x1000. */
	uint64_t leaf()
	{
		return TABLES[3] + 8;
	}
	bool write_page(uint32_t value)
	{
		return vtd.write(NIC, 0x1000, &value, 4);
	}
};

static void dma_goes_through_the_tables(void **)
{
	WholeUnit unit(true);
	uint32_t data = 0;

	assert_true(unit.write_page(0x1234));
	assert_int_equal(unit.machine.read32(PAGE), 0x1234);
	assert_false(unit.vtd.read(NIC, 0x2000, &data, 4));
	assert_int_equal(data, UINT32_MAX);
	uint64_t upper = unit.read8(fault_recording_offset(unit.vtd.features) + 8);
	assert_int_equal(upper & 0xffff, NIC);
	assert_int_equal(upper >> 32 & 0xff, 6);
	assert_int_equal(unit.read8(fault_recording_offset(unit.vtd.features)), 0x2000);
	assert_string_equal(unit.knob("misuses").c_str(), "0");
}

static void a_page_is_reachable_until_its_invalidation_is_done(void **)
{
	WholeUnit unit(true);

	unit.set("delay", "1000");
	assert_true(unit.write_page(1));
	unit.machine.write64(unit.leaf(), 0);
	unit.put(IOTLB_GLOBAL);
	unit.put_wait(WAIT_SW, 9);
	unit.post();
	unit.machine.advance(999);
	assert_true(unit.write_page(2));
	assert_int_equal(unit.machine.read32(PAGE), 2);
	unit.machine.advance(1001);
	assert_int_equal(unit.status(), 9);
	assert_false(unit.write_page(3));
	assert_int_equal(unit.machine.read32(PAGE), 2);
}

static void the_queue_needs_no_write_back(void **)
{
	WholeUnit unit(false);

	unit.put(IOTLB_GLOBAL);
	unit.put_wait(WAIT_SW, 9);
	unit.post();
	unit.machine.advance(1000);
	assert_int_equal(unit.read4(FSTS_REG) & FSTS_IQE, 0);
	assert_int_equal(unit.status(), 9);
}

static void a_table_that_is_not_written_back_is_not_seen(void **)
{
	WholeUnit unit(false);

	unit.machine.write64(unit.leaf(), 0);
	unit.vtd.written_back(unit.leaf(), 8);
	assert_false(unit.write_page(1));
	unit.machine.write64(unit.leaf(), PAGE | 3);
	assert_false(unit.write_page(2));
	unit.vtd.written_back(unit.leaf(), 8);
	assert_true(unit.write_page(3));
}

/* Moves the device to another domain and back, as 6.5.3.3 says. */
static void a_moved_device_does_not_reach_its_old_domain(void **)
{
	constexpr uint64_t tables[] = { 0x110000, 0x111000, 0x112000, 0x113000 };
	constexpr uint64_t pages[] = { PAGE, 0x8000 };

	for (uint64_t seed = 1; seed <= 20; seed++) {
		WholeUnit unit(true);
		uint64_t now = 0;
		for (unsigned i = 0; i < 3; i++)
			unit.machine.write64(tables[i], tables[i + 1] | 3);
		unit.machine.write64(tables[3] + 8, pages[1] | 3);
		unit.set("whims", std::to_string(seed));
		unit.set("delay.random", "50");
		for (uint32_t round = 1; round <= 30; round++) {
			assert_true(unit.write_page(0));
			uint64_t old = now + 1, other = (now ^= 1) + 1;
			unit.machine.write64(CONTEXT + NIC * 16 + 8, other << 8 | 2);
			unit.machine.write64(CONTEXT + NIC * 16, (now ? tables : TABLES)[0] | 1);
			unit.put(1 | 3 << 4 | old << 16 | uint64_t(NIC) << 32);
			unit.put(2 | 2 << 4 | 3 << 6 | old << 16);
			unit.put_wait(WAIT_SW, round);
			unit.post();
			while (unit.status() != round) {
				unit.machine.advance(7);
				assert_true(unit.write_page(0));
			}
			for (uint32_t i = 1; i <= 4; i++) {
				assert_true(unit.write_page(i));
				assert_int_equal(unit.machine.read32(pages[now]), i);
				assert_int_equal(unit.machine.read32(pages[now ^ 1]), 0);
			}
			unit.machine.write32(pages[now], 0);
		}
		assert_string_equal(unit.knob("misuses").c_str(), "0");
	}
}

static void messages_are_remapped_and_old_ones_blocked(void **)
{
	WholeUnit unit(true);
	uint32_t data = 0x41;

	/* Entry 3: present, fixed, physical, vector 0x77 to xAPIC id 1. */
	unit.machine.write64(INTERRUPTS + 3 * 16, 1 | 0x77 << 16 | UINT64_C(1) << 40);
	uint32_t none = 0;
	assert_true(unit.vtd.write(NIC, 0xfee00000 | 3 << 5 | 1 << 4 | 0 << 3, &none, 4));
	assert_int_equal(unit.machine.interrupts.size(), 1);
	assert_int_equal(unit.machine.interrupts[0].vector, 0x77);
	assert_int_equal(unit.machine.interrupts[0].destination, 1);
	unit.vtd.write(NIC, 0xfee00000, &data, 4);
	assert_int_equal(unit.machine.interrupts.size(), 1);
	uint64_t upper = unit.read8(fault_recording_offset(unit.vtd.features) + 8);
	assert_int_equal(upper >> 32 & 0xff, 0x25);
}

static void a_second_power_on_begins_anew(void **)
{
	WholeUnit unit(true);

	assert_true(unit.write_page(1));
	assert_string_equal(unit.vtd.power_on().c_str(), "");
	assert_int_equal(unit.read4(GSTS_REG), 0);
	assert_int_equal(unit.read4(FSTS_REG), 0);
}

int main()
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dma_goes_through_the_tables),
		cmocka_unit_test(a_page_is_reachable_until_its_invalidation_is_done),
		cmocka_unit_test(the_queue_needs_no_write_back),
		cmocka_unit_test(a_table_that_is_not_written_back_is_not_seen),
		cmocka_unit_test(a_moved_device_does_not_reach_its_old_domain),
		cmocka_unit_test(messages_are_remapped_and_old_ones_blocked),
		cmocka_unit_test(a_second_power_on_begins_anew),
	};
	return cmocka_run_group_tests(tests, nullptr, nullptr);
}
