/* The invalidation queue of a unit: durations, waits and errors. Its requests to
 * device TLBs are in test_vtd_devicetlb.cc.
 *
 * sources: tests/bochs/knobs.cc tests/bochs/testmachine.cc tests/bochs/faketranslator.cc
 * sources: tests/bochs/unit/capabilities.cc tests/bochs/unit/commands.cc
 * sources: tests/bochs/unit/descriptors.cc tests/bochs/unit/event.cc tests/bochs/unit/faults.cc
 * sources: tests/bochs/unit/invalidationregisters.cc tests/bochs/unit/protectedmemory.cc
 * sources: tests/bochs/unit/queue.cc tests/bochs/unit/queuedevices.cc
 * sources: tests/bochs/unit/registers.cc tests/bochs/unit/settings.cc tests/bochs/unit/vtd.cc */
#include <algorithm>
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

static void nothing_happens_within_the_write_of_the_tail(void **)
{
	UnitFixture unit;

	unit.start_queue();
	unit.put(IOTLB_GLOBAL);
	unit.put_wait(WAIT_SW, 7);
	unit.post();
	assert_true(fake.invalidated.empty());
	assert_int_equal(unit.status(), 0);
	unit.machine.advance(0);
	assert_int_equal(unit.status(), 7);
	assert_int_equal(fake.invalidated.size(), 1);
	assert_int_equal(unit.read8(IQH_REG), 32);
	assert_string_equal(unit.knob("queued").c_str(), "0");
	assert_string_equal(unit.knob("descriptors").c_str(), "2");
	assert_string_equal(unit.knob("waits").c_str(), "1");
}

static void each_descriptor_takes_its_time(void **)
{
	UnitFixture unit;

	unit.set("delay", "100");
	unit.set("delay.iotlb", "20");
	unit.set("delay.context", "3");
	unit.set("delay.interrupt", "40");
	unit.set("delay.wait", "5000");
	unit.start_queue();
	unit.put(CONTEXT_GLOBAL);
	unit.put(IOTLB_GLOBAL);
	unit.put(INTERRUPTS_GLOBAL);
	unit.put_wait(WAIT_SW, 7);
	unit.post();
	unit.machine.advance(102);
	assert_int_equal(fake.invalidated.size(), 0);
	unit.machine.advance(1);
	assert_int_equal(fake.invalidated.size(), 1);
	unit.machine.advance(120);
	assert_int_equal(fake.invalidated.size(), 2);
	unit.machine.advance(140 + 5099);
	assert_int_equal(fake.invalidated.size(), 3);
	assert_int_equal(unit.status(), 0);
	/* The head has long passed the wait: it says nothing about completion. */
	assert_int_equal(unit.read8(IQH_REG), 64);
	assert_string_equal(unit.knob("queued").c_str(), "1");
	unit.machine.advance(1);
	assert_int_equal(unit.status(), 7);
}

static void one_of_some_takes_unfairly_long(void **)
{
	UnitFixture unit;

	unit.set("unfair", "3");
	unit.set("unfair.delay", "1000");
	unit.start_queue();
	for (unsigned i = 0; i < 3; i++)
		unit.put(IOTLB_GLOBAL);
	unit.post();
	unit.machine.advance(999);
	assert_int_equal(fake.invalidated.size(), 2);
	unit.machine.advance(1);
	assert_int_equal(fake.invalidated.size(), 3);
}

static void random_delays_stay_below_their_limit(void **)
{
	UnitFixture unit;
	uint64_t shortest = UINT64_MAX, longest = 0;

	unit.set("delay", "100");
	unit.set("delay.random", "1000");
	unit.set("whims", "5");
	unit.start_queue();
	for (unsigned i = 0; i < 100; i++) {
		uint64_t before = unit.machine.now();
		unit.put_wait(WAIT_SW, i + 1);
		unit.post();
		while (unit.status() != i + 1)
			unit.machine.advance(1);
		shortest = std::min(shortest, unit.machine.now() - before);
		longest = std::max(longest, unit.machine.now() - before);
	}
	assert_in_range(shortest, 100, 200);
	assert_in_range(longest, 1000, 1100);
}

static void descriptors_are_decoded(void **)
{
	UnitFixture unit;

	unit.start_queue();
	unit.put(1 | 2 << 4 | 0x123 << 16); /* domain */
	unit.put(1 | 3 << 4 | 9 << 16 | UINT64_C(0x0120) << 32 | UINT64_C(3) << 48);
	unit.put(2 | 2 << 4 | 3 << 6 | 5 << 16);
	unit.put(2 | 3 << 4 | 5 << 16, 0x7000 | 1 << 6 | 18);
	unit.put(4 | 1 << 4 | UINT64_C(3) << 27 | UINT64_C(0x88) << 32);
	unit.put(INTERRUPTS_GLOBAL);
	unit.post();
	unit.machine.advance(0);
	assert_int_equal(fake.invalidated.size(), 6);
	assert_string_equal(fake.invalidated[0].c_str(), "context domain 291 0 0");
	assert_string_equal(fake.invalidated[1].c_str(), "context selective 9 288 3");
	assert_string_equal(fake.invalidated[2].c_str(), "iotlb domain 5 0 0");
	assert_string_equal(fake.invalidated[3].c_str(), "iotlb selective 5 28672 18 hint");
	assert_string_equal(fake.invalidated[4].c_str(), "interrupts 136 3");
	assert_string_equal(fake.invalidated[5].c_str(), "interrupts");
}

static void whims_reorder_between_waits_and_never_across_them(void **)
{
	bool early = false, reordered = false;

	for (uint64_t seed = 1; seed < 40; seed++) {
		UnitFixture unit;
		unit.set("whims", std::to_string(seed));
		unit.set("delay", "10");
		unit.start_queue();
		unit.put(2 | 2 << 4 | 1 << 16);
		unit.put(2 | 2 << 4 | 2 << 16);
		unit.put(2 | 2 << 4 | 3 << 16);
		unit.put_wait(WAIT_SW, 1);
		unit.put(2 | 2 << 4 | 4 << 16);
		unit.post();
		early |= !fake.invalidated.empty();
		while (unit.status() != 1)
			unit.machine.advance(1);
		assert_in_range(fake.invalidated.size(), 3, 4);
		reordered |= fake.invalidated[0] != "iotlb domain 1 0 0";
		for (unsigned domain = 1; domain <= 3; domain++) {
			std::string name = "iotlb domain " + std::to_string(domain) + " 0 0";
			bool found = false;
			for (unsigned i = 0; i < 3; i++)
				found |= fake.invalidated[i] == name;
			assert_true(found);
		}
	}
	assert_true(early && reordered);
}

/* A wait after these orders them, and so do these among each other (6.5.2.11). */
static void contexts_are_dropped_before_what_was_filled_from_them(void **)
{
	for (uint64_t seed = 1; seed < 40; seed++) {
		UnitFixture unit;
		unit.set("whims", std::to_string(seed));
		unit.start_queue();
		unit.put(CONTEXT_GLOBAL);
		unit.put(IOTLB_GLOBAL);
		unit.put_wait(WAIT_SW, 1);
		unit.post();
		unit.machine.advance(0);
		assert_int_equal(unit.status(), 1);
		assert_int_equal(fake.invalidated.size(), 2);
		assert_string_equal(fake.invalidated[0].substr(0, 7).c_str(), "context");
	}
}

static void a_device_is_asked_after_the_unit_has_dropped_its_own(void **)
{
	for (uint64_t seed = 1; seed < 40; seed++) {
		UnitFixture unit;
		size_t before = 0;
		unit.set("whims", std::to_string(seed));
		unit.vtd.device_tlb = [&before](const DeviceTlbInvalidation &) {
			before = fake.invalidated.size();
			return true;
		};
		unit.start_queue();
		unit.put(CONTEXT_GLOBAL);
		unit.put(IOTLB_GLOBAL);
		unit.put(INTERRUPTS_GLOBAL);
		unit.put(device_request(0x28));
		unit.post();
		unit.machine.advance(0);
		assert_int_equal(before, 3);
	}
}

static void what_was_fetched_is_done_when_the_queue_is_off(void **)
{
	for (uint64_t seed = 1; seed < 10; seed++) {
		UnitFixture unit;
		unit.set("whims", std::to_string(seed));
		unit.start_queue();
		unit.put(IOTLB_GLOBAL);
		unit.post();
		unit.machine.advance(0);
		unit.write4(GCMD_REG, 0);
		assert_int_equal(unit.read4(GSTS_REG) & GCMD_QIE, 0);
		assert_int_equal(fake.invalidated.size(), 1);
	}
}

static void a_wait_writes_its_status_and_interrupts(void **)
{
	UnitFixture unit;

	unit.start_queue();
	unit.unmask(IECTL_REG, 0x60);
	unit.put_wait(WAIT_SW | WAIT_IF, 9);
	unit.post();
	unit.machine.advance(0);
	assert_int_equal(unit.status(), 9);
	assert_int_equal(unit.machine.interrupts.size(), 1);
	assert_int_equal(unit.machine.interrupts[0].vector, 0x60);
	assert_int_equal(unit.machine.interrupts[0].destination, 2);
	assert_int_equal(unit.read4(ICS_REG), 1);
	/* IWC that is set is no new condition. */
	unit.put_wait(WAIT_IF, 0);
	unit.post();
	unit.machine.advance(0);
	assert_int_equal(unit.status(), 9);
	assert_int_equal(unit.machine.interrupts.size(), 1);
	unit.write4(ICS_REG, 1);
	assert_int_equal(unit.read4(ICS_REG), 0);
	unit.put_wait(WAIT_IF, 0);
	unit.post();
	unit.machine.advance(0);
	assert_int_equal(unit.machine.interrupts.size(), 2);
}

static void a_masked_completion_stays_pending(void **)
{
	UnitFixture unit;

	unit.start_queue();
	unit.unmask(IECTL_REG, 0x60);
	unit.write4(IECTL_REG, CONTROL_IM);
	unit.put_wait(WAIT_IF, 0);
	unit.post();
	unit.machine.advance(0);
	assert_int_equal(unit.read4(IECTL_REG), CONTROL_IM | CONTROL_IP);
	unit.write4(IECTL_REG, 0);
	assert_int_equal(unit.machine.interrupts.size(), 1);
	unit.write4(IECTL_REG, CONTROL_IM);
	unit.write4(ICS_REG, 1);
	unit.put_wait(WAIT_IF, 0);
	unit.post();
	unit.machine.advance(0);
	unit.write4(ICS_REG, 1);
	unit.write4(IECTL_REG, 0);
	assert_int_equal(unit.machine.interrupts.size(), 1);
}

static void the_ring_wraps_at_its_size(void **)
{
	UnitFixture unit;

	unit.start_queue();
	for (unsigned i = 0; i < 300; i++) {
		unit.put_wait(WAIT_SW, i);
		unit.post();
		unit.machine.advance(0);
		assert_int_equal(unit.status(), i);
	}
	assert_int_equal(unit.read8(IQH_REG), (300 - 256) * 16);
}

static void a_pause_holds_the_queue(void **)
{
	const char *const words[][3] = { { "pause", "1", "0" }, { "hang", "queue", "none" } };

	for (const auto &word : words) {
		UnitFixture unit;
		unit.start_queue();
		unit.set(word[0], word[1]);
		unit.put_wait(WAIT_SW, 3);
		unit.post();
		unit.machine.advance(1000000);
		assert_int_equal(unit.status(), 0);
		assert_int_equal(unit.read8(IQH_REG), 0);
		unit.set(word[0], word[2]);
		unit.machine.advance(0);
		assert_int_equal(unit.status(), 3);
	}
}

static void a_unit_may_execute_and_not_answer(void **)
{
	UnitFixture unit;

	unit.start_queue();
	unit.set("hang", "status");
	unit.put_wait(WAIT_SW, 3);
	unit.put(IOTLB_GLOBAL);
	unit.post();
	unit.machine.advance(1000000);
	assert_int_equal(unit.status(), 0);
	assert_int_equal(fake.invalidated.size(), 1);
	unit.set("hang", "none");
	assert_int_equal(unit.status(), 3);
}

static void a_bad_descriptor_stops_the_queue_at_itself(void **)
{
	UnitFixture unit;

	unit.start_queue();
	unit.unmask(FECTL_REG, 0x50);
	unit.put(IOTLB_GLOBAL);
	unit.put(0xf);
	unit.put_wait(WAIT_SW, 3);
	unit.post();
	unit.machine.advance(100);
	assert_int_equal(unit.read4(FSTS_REG), FSTS_IQE);
	assert_int_equal(unit.read8(IQERCD_REG) & 0xf, 3);
	assert_int_equal(unit.read8(IQH_REG), 16);
	assert_int_equal(unit.machine.interrupts.size(), 1);
	assert_int_equal(unit.status(), 0);
	/* Not mended: it stops again. */
	unit.write4(FSTS_REG, FSTS_IQE);
	assert_int_equal(unit.read4(FSTS_REG), FSTS_IQE);
	assert_int_equal(unit.machine.interrupts.size(), 2);
	unit.machine.write64(RING + 16, IOTLB_GLOBAL);
	unit.write4(FSTS_REG, FSTS_IQE);
	unit.machine.advance(100);
	assert_int_equal(unit.status(), 3);
	assert_int_equal(unit.read4(FSTS_REG), 0);
}

static void every_reserved_bit_is_looked_at(void **)
{
	const struct {
		uint64_t low, reserved_low, reserved_high;
	} kinds[] = {
		{ CONTEXT_GLOBAL, 0xfffc00000000f1c0, UINT64_MAX },
		{ IOTLB_GLOBAL, 0xffffffff0000f100, 0xf80 },
		{ device_request(1), 0xffff0000ffe0f1f0, 0xffe },
		{ INTERRUPTS_GLOBAL, 0xffff000007fff1e0, UINT64_MAX },
		{ 5 | WAIT_SW, 0x00000000fffff180, 3 },
	};

	for (const auto &kind : kinds) {
		for (unsigned bit = 0; bit < 128; bit++) {
			uint64_t mask = UINT64_C(1) << (bit & 63);
			bool high = bit >= 64;
			if (!(mask & (high ? kind.reserved_high : kind.reserved_low)))
				continue;
			UnitFixture unit;
			unit.start_queue();
			unit.put(kind.low | (high ? 0 : mask), high ? mask : 0);
			unit.post();
			assert_int_equal(unit.read4(FSTS_REG), FSTS_IQE);
			assert_int_equal(unit.read8(IQERCD_REG) & 0xf, 4);
		}
	}
}

static void what_the_unit_does_not_offer_is_refused(void **)
{
	const uint64_t high[] = { 0, 0, 0, 0, 0, 0x13 };
	const uint64_t low[] = { 0, 6, 5 | 1 << 9, 1, 2 | 1 << 7, 2 | 3 << 4 };
	const unsigned why[] = { 3, 3, 3, 4, 4, 4 };

	for (unsigned i = 0; i < 6; i++) {
		UnitFixture unit;
		unit.vtd.features.drain = false;
		unit.start_queue();
		unit.put(low[i] | (i == 4 ? 1 << 4 : 0), high[i]);
		unit.post();
		assert_int_equal(unit.read4(FSTS_REG), FSTS_IQE);
		assert_int_equal(unit.read8(IQERCD_REG) & 0xf, why[i]);
	}
	UnitFixture unit;
	unit.vtd.features.device_tlb = false;
	unit.start_queue();
	unit.put(device_request(1));
	unit.post();
	assert_int_equal(unit.read8(IQERCD_REG) & 0xf, 3);
	UnitFixture other;
	other.vtd.features.page_selective = false;
	other.start_queue();
	other.put(2 | 3 << 4, 0x1000);
	other.post();
	assert_int_equal(other.read8(IQERCD_REG) & 0xf, 4);
}

static void a_tail_beyond_the_end_is_an_error(void **)
{
	UnitFixture unit;

	unit.start_queue();
	unit.write8(IQT_REG, 4096);
	assert_int_equal(unit.read4(FSTS_REG), FSTS_IQE);
	assert_int_equal(unit.read8(IQERCD_REG) & 0xf, 1);
	assert_true(unit.machine.logged("IQT is beyond"));
	unit.write8(IQT_REG, 0);
	unit.write4(FSTS_REG, FSTS_IQE);
	assert_int_equal(unit.read4(FSTS_REG), 0);
}

static void the_queue_stays_where_it_is_while_it_is_enabled(void **)
{
	UnitFixture unit;

	unit.start_queue();
	unit.write8(IQA_REG, RING);
	assert_string_equal(unit.knob("misuses").c_str(), "0");
	unit.write8(IQA_REG, 0x900000);
	assert_int_equal(unit.read8(IQA_REG), RING);
	assert_string_equal(unit.knob("misuses").c_str(), "1");
	unit.set("pause", "1");
	unit.put_wait(WAIT_SW, 3);
	unit.post();
	unit.write4(GCMD_REG, 0);
	assert_string_equal(unit.knob("misuses").c_str(), "2");
	assert_int_equal(unit.read8(IQH_REG), 0);
	unit.write8(IQA_REG, 0x900000);
	assert_int_equal(unit.read8(IQA_REG), 0x900000);
}

int main()
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_happens_within_the_write_of_the_tail),
		cmocka_unit_test(each_descriptor_takes_its_time),
		cmocka_unit_test(one_of_some_takes_unfairly_long),
		cmocka_unit_test(random_delays_stay_below_their_limit),
		cmocka_unit_test(descriptors_are_decoded),
		cmocka_unit_test(whims_reorder_between_waits_and_never_across_them),
		cmocka_unit_test(contexts_are_dropped_before_what_was_filled_from_them),
		cmocka_unit_test(a_device_is_asked_after_the_unit_has_dropped_its_own),
		cmocka_unit_test(what_was_fetched_is_done_when_the_queue_is_off),
		cmocka_unit_test(a_wait_writes_its_status_and_interrupts),
		cmocka_unit_test(a_masked_completion_stays_pending),
		cmocka_unit_test(the_ring_wraps_at_its_size),
		cmocka_unit_test(a_pause_holds_the_queue),
		cmocka_unit_test(a_unit_may_execute_and_not_answer),
		cmocka_unit_test(a_bad_descriptor_stops_the_queue_at_itself),
		cmocka_unit_test(every_reserved_bit_is_looked_at),
		cmocka_unit_test(what_the_unit_does_not_offer_is_refused),
		cmocka_unit_test(a_tail_beyond_the_end_is_an_error),
		cmocka_unit_test(the_queue_stays_where_it_is_while_it_is_enabled),
	};
	return cmocka_run_group_tests(tests, nullptr, nullptr);
}
