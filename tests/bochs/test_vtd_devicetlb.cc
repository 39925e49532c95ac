/* The requests that a unit's invalidation queue sends to device TLBs: their sizes, their answers,
 * and their errors.
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

static uint64_t error_source(UnitFixture &unit)
{
	return unit.read8(IQERCD_REG) >> 32 & 0xffff;
}

static void sizes_of_device_requests_are_decoded(void **)
{
	const struct {
		uint64_t high, address, bytes;
	} cases[] = {
		{ 0x5000, 0x5000, 0x1000 },
		{ 0x4001, 0x4000, 0x2000 },
		{ 0x9001, 0x8000, 0x4000 },
		{ 0x6ff001, 0x600000, 0x200000 },
		{ 0x7ffffffffffff001, 0, UINT64_MAX },
	};

	UnitFixture unit;
	unit.start_queue();
	for (const auto &one : cases)
		unit.put(device_request(0x28), one.high);
	unit.post();
	unit.machine.advance(0);
	assert_int_equal(unit.requests.size(), 5);
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(unit.requests[i].target, 0x28);
		assert_true(unit.requests[i].address == cases[i].address);
		assert_true(unit.requests[i].bytes == cases[i].bytes);
		assert_int_equal(unit.requests[i].tag, i);
	}
}

static void a_wait_waits_for_the_device(void **)
{
	UnitFixture unit;

	unit.start_queue();
	unit.put(device_request(0x28));
	unit.put_wait(WAIT_SW, 3);
	unit.put(IOTLB_GLOBAL);
	unit.post();
	unit.machine.advance(999999999);
	assert_int_equal(unit.status(), 0);
	/* What comes behind a wait without a fence goes on. */
	assert_int_equal(fake.invalidated.size(), 1);
	unit.vtd.device_tlb_done(0x28, 0);
	assert_int_equal(unit.status(), 3);
	unit.machine.advance(10000000000);
	assert_int_equal(unit.read4(FSTS_REG), 0);
}

static void a_fence_holds_what_comes_behind_it(void **)
{
	UnitFixture unit;

	unit.start_queue();
	unit.put(device_request(0x28));
	unit.put_wait(WAIT_SW | WAIT_FN, 3);
	unit.put(IOTLB_GLOBAL);
	unit.post();
	unit.machine.advance(1000);
	assert_true(fake.invalidated.empty());
	unit.vtd.device_tlb_done(0x28, 0);
	unit.machine.advance(0);
	assert_int_equal(unit.status(), 3);
	assert_int_equal(fake.invalidated.size(), 1);
}

static void a_device_gets_no_more_than_it_can_take(void **)
{
	UnitFixture unit;

	unit.start_queue();
	for (unsigned i = 0; i < 5; i++)
		unit.put(device_request(0x28) | 2 << 16);
	unit.put_wait(WAIT_SW, 3);
	unit.post();
	unit.machine.advance(1000);
	assert_int_equal(unit.requests.size(), 2);
	while (unit.status() != 3) {
		size_t before = unit.requests.size();
		assert_in_range(before, 2, 5);
		unit.vtd.device_tlb_done(0x28, unit.requests[before - 1].tag);
		unit.machine.advance(1000);
		if (unit.requests.size() == before)
			break;
	}
	assert_int_equal(unit.requests.size(), 5);
	assert_int_equal(unit.status(), 0); /* one is still outstanding */
}

static void a_silent_device_times_out(void **)
{
	UnitFixture unit;

	unit.set("timeout", "5000");
	unit.start_queue();
	unit.unmask(FECTL_REG, 0x50);
	unit.put(device_request(0x28));
	unit.put_wait(WAIT_SW, 3);
	unit.put_wait(WAIT_SW, 4);
	unit.post();
	unit.machine.advance(4999);
	assert_int_equal(unit.read4(FSTS_REG), 0);
	unit.machine.advance(1);
	assert_int_equal(unit.read4(FSTS_REG), FSTS_ITE);
	assert_int_equal(error_source(unit), 0x28);
	assert_int_equal(unit.machine.interrupts.size(), 1);
	/* Both waits are aborted, and nothing is fetched until software has seen it. */
	unit.put_wait(WAIT_SW, 5);
	unit.post();
	unit.machine.advance(1000000);
	assert_int_equal(unit.status(), 0);
	unit.write4(FSTS_REG, FSTS_ITE);
	unit.machine.advance(1000000);
	assert_int_equal(unit.status(), 5);
	assert_string_equal(unit.knob("waits").c_str(), "1");
	/* The answer comes too late. */
	unit.vtd.device_tlb_done(0x28, 0);
	assert_int_equal(unit.read4(FSTS_REG), FSTS_ICE);
	assert_int_equal(unit.read8(IQERCD_REG) >> 48, 0x28);
}

/* Software has to post again what was behind the request. */
static void a_time_out_may_lose_what_was_behind_it(void **)
{
	unsigned lost = 0, seeds = 40;

	for (uint64_t seed = 1; seed <= seeds; seed++) {
		UnitFixture unit;
		unit.set("whims", std::to_string(seed));
		unit.set("timeout", "1000");
		unit.start_queue();
		unit.put(CONTEXT_GLOBAL);
		unit.put(device_request(0x28));
		unit.put(INTERRUPTS_GLOBAL);
		unit.put_wait(WAIT_SW, 1);
		unit.post();
		unit.machine.advance(2000);
		assert_int_equal(unit.read4(FSTS_REG), FSTS_ITE);
		unit.write4(FSTS_REG, FSTS_ITE);
		unit.put_wait(WAIT_SW, 2);
		unit.post();
		unit.machine.advance(0);
		assert_int_equal(unit.status(), 2);
		assert_string_equal(fake.invalidated[0].substr(0, 7).c_str(), "context");
		lost += fake.invalidated.size() < 2;
	}
	assert_in_range(lost, 1, seeds - 1);
}

static void the_longest_time_out_does_not_come(void **)
{
	UnitFixture unit;

	unit.set("timeout", std::to_string(UINT64_MAX));
	unit.start_queue();
	unit.machine.advance(1000);
	unit.put(device_request(0x28));
	unit.post();
	unit.machine.advance(1000000);
	assert_int_equal(unit.requests.size(), 1);
	assert_int_equal(unit.read4(FSTS_REG), 0);
}

static void time_outs_are_reported_one_by_one(void **)
{
	UnitFixture unit;

	unit.set("timeout", "5000");
	unit.start_queue();
	unit.vtd.device_tlb = [](const DeviceTlbInvalidation &) { return false; };
	unit.put(device_request(0x28));
	unit.put(device_request(0x30));
	unit.put_wait(WAIT_SW, 3);
	unit.post();
	unit.machine.advance(100000);
	assert_int_equal(error_source(unit), 0x28);
	unit.write4(FSTS_REG, FSTS_ITE);
	assert_int_equal(unit.read4(FSTS_REG), 0);
	unit.machine.advance(0);
	assert_int_equal(unit.read4(FSTS_REG), FSTS_ITE);
	assert_int_equal(error_source(unit), 0x30);
	unit.write4(FSTS_REG, FSTS_ITE);
	unit.machine.advance(100000);
	assert_int_equal(unit.read4(FSTS_REG), 0);
	assert_int_equal(unit.status(), 0);
}

static void a_device_may_answer_at_once(void **)
{
	UnitFixture unit;

	unit.start_queue();
	unit.vtd.device_tlb = [&unit](const DeviceTlbInvalidation &request) {
		unit.vtd.device_tlb_done(request.target, request.tag);
		return true;
	};
	for (unsigned i = 0; i < 40; i++)
		unit.put(device_request(0x28));
	unit.put_wait(WAIT_SW, 3);
	unit.post();
	unit.machine.advance(0);
	assert_int_equal(unit.status(), 3);
}

static void errors_come_on_demand(void **)
{
	UnitFixture unit;

	unit.start_queue();
	unit.set("error.at", "2");
	assert_string_equal(unit.set("error", "iqe").c_str(), "");
	unit.put(IOTLB_GLOBAL);
	unit.put_wait(WAIT_SW, 1);
	unit.post();
	unit.machine.advance(10);
	assert_int_equal(unit.read4(FSTS_REG), FSTS_IQE);
	assert_int_equal(unit.read8(IQH_REG), 16);
	assert_int_equal(unit.read8(IQERCD_REG) & 0xf, 2);
	assert_string_equal(unit.knob("error").c_str(), "none");
	unit.write4(FSTS_REG, FSTS_IQE);
	unit.machine.advance(10);
	assert_int_equal(unit.status(), 1);
	unit.set("error", "ite");
	unit.put_wait(WAIT_SW, 2);
	unit.post();
	unit.machine.advance(10);
	assert_int_equal(unit.read4(FSTS_REG), FSTS_ITE);
	assert_int_equal(unit.read8(IQH_REG), 48);
	assert_int_equal(unit.status(), 1);
	unit.write4(FSTS_REG, FSTS_ITE);
	unit.set("error", "ice");
	unit.put(device_request(0x28));
	unit.post();
	unit.machine.advance(10);
	assert_int_equal(unit.read4(FSTS_REG), FSTS_ICE);
	assert_int_equal(unit.read8(IQERCD_REG) >> 48, 0x28);
}

/* Which device it was is known of the first one until software has cleared the error. */
static void the_first_unexpected_answer_is_named(void **)
{
	UnitFixture unit;

	unit.start_queue();
	unit.vtd.device_tlb_done(0x28, 1);
	unit.vtd.device_tlb_done(0x30, 1);
	assert_int_equal(unit.read4(FSTS_REG), FSTS_ICE);
	assert_int_equal(unit.read8(IQERCD_REG) >> 48, 0x28);
	unit.write4(FSTS_REG, FSTS_ICE);
	unit.vtd.device_tlb_done(0x30, 1);
	assert_int_equal(unit.read8(IQERCD_REG) >> 48, 0x30);
}

int main()
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_of_device_requests_are_decoded),
		cmocka_unit_test(a_wait_waits_for_the_device),
		cmocka_unit_test(a_fence_holds_what_comes_behind_it),
		cmocka_unit_test(a_device_gets_no_more_than_it_can_take),
		cmocka_unit_test(a_silent_device_times_out),
		cmocka_unit_test(a_time_out_may_lose_what_was_behind_it),
		cmocka_unit_test(the_longest_time_out_does_not_come),
		cmocka_unit_test(time_outs_are_reported_one_by_one),
		cmocka_unit_test(a_device_may_answer_at_once),
		cmocka_unit_test(errors_come_on_demand),
		cmocka_unit_test(the_first_unexpected_answer_is_named),
	};
	return cmocka_run_group_tests(tests, nullptr, nullptr);
}
