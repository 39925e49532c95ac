/* The TLB of a device: what it caches, what it forgets, and what it answers in each of its modes.
 *
 * sources: tests/bochs/knobs.cc tests/bochs/testmachine.cc
 * sources: tests/bochs/devices/configspace.cc tests/bochs/devices/msi.cc
 * sources: tests/bochs/devices/devicetlb.cc tests/bochs/devices/function.cc
 */
#include <bochs/testfunction.h>

extern "C" {
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
}

using namespace bochs;
using Kind = TestUpstream::Kind;

namespace
{

constexpr unsigned control = 0x106; /* ATS is the first extended capability */
constexpr uint64_t page = 0x200000, elsewhere = 0x700000;

struct Fixture {
	TestMachine machine;
	Knobs knobs;
	TestUpstream upstream{ machine };
	TestFunction function{ machine, knobs, upstream };
	std::vector<uint16_t> answers;

	Fixture()
	{
		function.add_pcie(true);
		function.add_ats();
		function.invalidated = [this](SourceId device, uint16_t tag) {
			assert_int_equal(device, 0x10);
			answers.push_back(tag);
		};
		enable();
		map(page, elsewhere, 4096);
	}
	void enable()
	{
		function.start();
		function.config_write(control, 2, 0x8000);
	}
	void map(uint64_t from, uint64_t to, uint64_t bytes, bool read = true, bool write = true)
	{
		Translation t;

		t.read = read;
		t.write = write;
		t.address = to;
		t.bytes = bytes;
		upstream.translations[from] = t;
	}
	bool put(uint64_t address, uint32_t value = 1)
	{
		return function.dma_write(address, &value, sizeof(value));
	}
	bool take(uint64_t address)
	{
		uint32_t value;

		return function.dma_read(address, &value, sizeof(value));
	}
	void invalidate(uint64_t address, uint64_t bytes, uint16_t tag = 1)
	{
		function.invalidate({ 0x10, address, bytes, false, tag });
	}
	std::string knob(const std::string &name)
	{
		std::string value;

		assert_true(knobs.get("dev.tlb" + name, value));
		return value;
	}
	void mode(const char *value)
	{
		assert_string_equal(knobs.set("dev.tlb", value).c_str(), "");
	}
};

} // namespace

static void a_disabled_tlb_sends_untranslated_requests(void **)
{
	Fixture f;

	f.function.config_write(control, 2, 0);
	assert_true(f.put(page, 9));
	assert_int_equal(f.upstream.requests.size(), 1);
	assert_int_equal(f.upstream.requests[0].kind, Kind::write);
	assert_int_equal(f.machine.read32(page), 9);
}

static void a_translation_is_asked_for_once(void **)
{
	Fixture f;

	assert_true(f.put(page + 8, 5));
	assert_true(f.put(page + 16, 6));
	assert_true(f.take(page));
	assert_int_equal(f.upstream.count(Kind::translate), 1);
	assert_int_equal(f.upstream.count(Kind::write_translated), 2);
	assert_int_equal(f.upstream.count(Kind::read_translated), 1);
	assert_int_equal(f.machine.read32(elsewhere + 8), 5);
	assert_int_equal(f.machine.read32(page + 8), 0);
	assert_string_equal(f.knob(".entries").c_str(), "1");
	assert_string_equal(f.knob(".hits").c_str(), "2");
	assert_string_equal(f.knob(".requests").c_str(), "1");
}

static void a_cached_translation_outlives_the_mapping(void **)
{
	Fixture f;

	assert_true(f.put(page));
	f.upstream.translations.clear();
	assert_true(f.put(page, 3));
	assert_int_equal(f.machine.read32(elsewhere), 3);
}

static void without_a_translation_nothing_is_sent(void **)
{
	Fixture f;
	uint32_t value = 0;

	assert_false(f.put(page + 4096));
	assert_false(f.function.dma_read(page + 4096, &value, 4));
	assert_int_equal(value, 0xffffffff);
	assert_int_equal(f.upstream.count(Kind::translate), 2);
	assert_int_equal(f.upstream.requests.size(), 2);
	assert_string_equal(f.knob(".entries").c_str(), "0");
}

static void a_missing_right_is_asked_for_again(void **)
{
	Fixture f;

	f.map(page, elsewhere, 4096, true, false);
	assert_true(f.take(page));
	assert_false(f.put(page));
	assert_int_equal(f.upstream.count(Kind::translate), 2);
	f.map(page, elsewhere + 0x1000, 4096);
	assert_true(f.put(page, 4));
	assert_int_equal(f.machine.read32(elsewhere + 0x1000), 4);
	assert_string_equal(f.knob(".entries").c_str(), "1");
}

static void a_large_translation_is_one_entry(void **)
{
	Fixture f;

	f.map(page, 0x40000000, 0x200000);
	assert_true(f.put(page + 0x123000, 4));
	assert_true(f.put(page + 0x1ff000, 5));
	assert_int_equal(f.upstream.count(Kind::translate), 1);
	assert_int_equal(f.machine.read32(0x40123000), 4);
	assert_int_equal(f.machine.read32(0x401ff000), 5);
	f.upstream.translations.clear();
	assert_false(f.put(page + 0x200000));
	assert_false(f.put(page - 4096));
	f.invalidate(page + 0x3000, 4096);
	assert_false(f.put(page + 0x123000));
}

static void untranslated_only_is_not_cached(void **)
{
	Fixture f;

	f.upstream.translations[page].untranslated_only = true;
	assert_true(f.put(page, 8));
	assert_int_equal(f.upstream.count(Kind::write), 1);
	assert_int_equal(f.machine.read32(page), 8);
	assert_string_equal(f.knob(".entries").c_str(), "0");
}

static void an_honest_tlb_drops_the_range_only(void **)
{
	Fixture f;

	f.map(page + 0x1000, elsewhere + 0x1000, 4096);
	f.map(page + 0x2000, elsewhere + 0x2000, 4096);
	for (unsigned i = 0; i < 3; i++)
		assert_true(f.put(page + 0x1000 * i));
	f.upstream.translations.clear();
	f.invalidate(page + 0x1000, 4096, 7);
	assert_int_equal(f.answers.size(), 1);
	assert_int_equal(f.answers[0], 7);
	assert_true(f.put(page));
	assert_false(f.put(page + 0x1000));
	assert_true(f.put(page + 0x2000));
	assert_string_equal(f.knob(".invalidations").c_str(), "1");
	f.invalidate(0, ~0ull, 8);
	assert_string_equal(f.knob(".entries").c_str(), "0");
	assert_false(f.put(page));
}

static void a_slow_tlb_uses_its_entries_until_it_answers(void **)
{
	Fixture f;

	f.mode("slow");
	assert_string_equal(f.knobs.set("dev.tlb.delay", "5000").c_str(), "");
	assert_true(f.put(page));
	f.upstream.translations.clear();
	f.invalidate(page, 4096, 3);
	f.machine.advance(4999);
	assert_true(f.answers.empty());
	assert_true(f.put(page, 6));
	assert_int_equal(f.machine.read32(elsewhere), 6);
	assert_string_equal(f.knob(".unanswered").c_str(), "1");
	f.machine.advance(1);
	assert_int_equal(f.answers.size(), 1);
	assert_int_equal(f.answers[0], 3);
	assert_false(f.put(page));
	assert_string_equal(f.knob(".unanswered").c_str(), "0");
}

static void a_slow_tlb_answers_each_in_its_time(void **)
{
	Fixture f;

	f.mode("slow");
	f.knobs.set("dev.tlb.delay", "1000");
	f.invalidate(page, 4096, 1);
	f.machine.advance(400);
	f.invalidate(page, 4096, 2);
	f.knobs.set("dev.tlb.delay", "100");
	f.invalidate(page, 4096, 3);
	f.machine.advance(100);
	assert_int_equal(f.answers.size(), 1);
	assert_int_equal(f.answers[0], 3);
	f.machine.advance(500);
	assert_int_equal(f.answers.size(), 2);
	assert_int_equal(f.answers[1], 1);
	f.machine.advance(400);
	assert_int_equal(f.answers.size(), 3);
	assert_int_equal(f.answers[2], 2);
}

static void a_silent_tlb_never_answers(void **)
{
	Fixture f;

	f.mode("silent");
	assert_true(f.put(page));
	f.invalidate(page, 4096);
	f.machine.advance(1000000000000);
	assert_true(f.answers.empty());
	assert_true(f.put(page));
	f.mode("honest");
	f.machine.advance(1000000000);
	assert_true(f.answers.empty());
	assert_string_equal(f.knob(".unanswered").c_str(), "1");
	f.invalidate(page, 4096, 2);
	assert_int_equal(f.answers.size(), 1);
}

static void a_liar_answers_and_keeps_its_entries(void **)
{
	Fixture f;

	f.mode("liar");
	assert_true(f.put(page));
	f.upstream.translations.clear();
	f.invalidate(0, ~0ull, 5);
	assert_int_equal(f.answers.size(), 1);
	assert_true(f.put(page, 2));
	assert_int_equal(f.machine.read32(elsewhere), 2);
}

static void disabling_drops_the_entries(void **)
{
	Fixture f;

	assert_true(f.put(page));
	f.function.config_write(control, 2, 0x8000);
	assert_string_equal(f.knob(".entries").c_str(), "1");
	f.function.config_write(control, 2, 0);
	f.function.config_write(control, 2, 0x8000);
	assert_string_equal(f.knob(".entries").c_str(), "0");
}

static void flr_drops_entries_and_forgets_what_it_was_asked(void **)
{
	Fixture f;

	f.mode("slow");
	assert_true(f.put(page));
	f.invalidate(page, 4096);
	f.function.config_write(f.function.capability(0x10) + 8, 2, 0x8000);
	assert_string_equal(f.knob(".entries").c_str(), "0");
	assert_string_equal(f.knob(".unanswered").c_str(), "0");
	f.machine.advance(1000000000);
	assert_true(f.answers.empty());
	f.function.start();
	f.put(page);
	assert_int_equal(f.upstream.requests.back().kind, Kind::write);
	f.enable();
	f.put(page);
	assert_int_equal(f.upstream.requests.back().kind, Kind::write_translated);
}

static void more_than_its_depth_is_counted(void **)
{
	Fixture f;

	f.mode("silent");
	for (uint16_t i = 0; i < 32; i++)
		f.invalidate(page, 4096, i);
	assert_string_equal(f.knob(".overruns").c_str(), "0");
	f.invalidate(page, 4096, 32);
	assert_string_equal(f.knob(".overruns").c_str(), "1");
	assert_true(f.machine.logged("queue"));
}

static void the_smallest_unit_aligns_what_is_asked(void **)
{
	Fixture f;

	f.function.config_write(control, 2, 0x8002);
	f.map(page, elsewhere, 0x4000);
	assert_true(f.put(page + 0x3000, 7));
	assert_int_equal(f.upstream.requests[0].address, page);
	assert_int_equal(f.machine.read32(elsewhere + 0x3000), 7);
	/* Software's promise is broken: the answer does not reach to what was asked. */
	f.map(page + 0x4000, elsewhere, 4096);
	assert_false(f.put(page + 0x5000));
}

static void a_full_tlb_forgets_the_oldest(void **)
{
	Fixture f;

	for (uint64_t i = 0; i < 513; i++) {
		f.map(page + i * 4096, elsewhere, 4096);
		assert_true(f.put(page + i * 4096));
	}
	assert_string_equal(f.knob(".entries").c_str(), "512");
	assert_true(f.put(page + 512 * 4096));
	assert_int_equal(f.upstream.count(Kind::translate), 513);
	assert_true(f.put(page));
	assert_int_equal(f.upstream.count(Kind::translate), 514);
}

static void a_mode_that_does_not_exist_is_refused(void **)
{
	Fixture f;

	assert_true(f.knobs.set("dev.tlb", "lazy").find("liar") != std::string::npos);
	assert_string_equal(f.knob("").c_str(), "honest");
	assert_string_not_equal(f.knobs.set("dev.tlb.hits", "0").c_str(), "");
}

int main()
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_disabled_tlb_sends_untranslated_requests),
		cmocka_unit_test(a_translation_is_asked_for_once),
		cmocka_unit_test(a_cached_translation_outlives_the_mapping),
		cmocka_unit_test(without_a_translation_nothing_is_sent),
		cmocka_unit_test(a_missing_right_is_asked_for_again),
		cmocka_unit_test(a_large_translation_is_one_entry),
		cmocka_unit_test(untranslated_only_is_not_cached),
		cmocka_unit_test(an_honest_tlb_drops_the_range_only),
		cmocka_unit_test(a_slow_tlb_uses_its_entries_until_it_answers),
		cmocka_unit_test(a_slow_tlb_answers_each_in_its_time),
		cmocka_unit_test(a_silent_tlb_never_answers),
		cmocka_unit_test(a_liar_answers_and_keeps_its_entries),
		cmocka_unit_test(disabling_drops_the_entries),
		cmocka_unit_test(flr_drops_entries_and_forgets_what_it_was_asked),
		cmocka_unit_test(more_than_its_depth_is_counted),
		cmocka_unit_test(the_smallest_unit_aligns_what_is_asked),
		cmocka_unit_test(a_full_tlb_forgets_the_oldest),
		cmocka_unit_test(a_mode_that_does_not_exist_is_refused),
	};

	return cmocka_run_group_tests(tests, nullptr, nullptr);
}
