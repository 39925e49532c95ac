/* A unit that does not snoop sees memory as it was written back.
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

struct Stale : TranslatorFixture {
	Stale()
	{
		features.coherent = false;
	}

	uint64_t seen(uint64_t address)
	{
		uint64_t value = 0;
		translator.fetch(address, &value, sizeof(value));
		return value;
	}
};

static void what_was_never_written_back_is_zero(void **)
{
	Stale f;

	f.machine.write64(0x5000, 1);
	assert_int_equal(f.seen(0x5000), 0);
	assert_int_equal(f.translator.counts.stale, 1);
	assert_int_equal(f.seen(0x6000), 0);
	assert_int_equal(f.translator.counts.stale, 1);
}

static void a_line_is_seen_as_written_back(void **)
{
	Stale f;

	f.machine.write64(0x5008, 1);
	f.translator.written_back(0x5008, 1);
	f.machine.write64(0x5008, 2);
	f.machine.write64(0x5010, 3);
	assert_int_equal(f.seen(0x5008), 1);
	assert_int_equal(f.seen(0x5010), 0);
	assert_int_equal(f.translator.counts.stale, 2);
	f.translator.written_back(0x5030, 8);
	assert_int_equal(f.seen(0x5008), 2);
	assert_int_equal(f.seen(0x5010), 3);
	assert_int_equal(f.translator.counts.stale, 2);
}

static void a_write_back_is_of_whole_lines_only(void **)
{
	Stale f;

	for (uint64_t line = 0; line < 4; line++)
		f.machine.write64(0x5000 + line * 64, line + 1);
	f.translator.written_back(0x507f, 2);
	assert_int_equal(f.seen(0x5000), 0);
	assert_int_equal(f.seen(0x5040), 2);
	assert_int_equal(f.seen(0x5080), 3);
	assert_int_equal(f.seen(0x50c0), 0);
	f.translator.written_back(0x5000, 0);
	assert_int_equal(f.seen(0x5000), 0);
}

static void a_read_may_cross_lines(void **)
{
	Stale f;
	uint8_t bytes[16];

	f.machine.write64(0x5038, 0x1111111111111111);
	f.machine.write64(0x5040, 0x2222222222222222);
	f.translator.written_back(0x5040, 1);
	f.translator.fetch(0x5038, bytes, sizeof(bytes));
	assert_int_equal(bytes[7], 0);
	assert_int_equal(bytes[8], 0x22);
	assert_int_equal(bytes[15], 0x22);
}

static void all_lines_that_are_known_are_written_back(void **)
{
	Stale f;

	f.translator.written_back(0x5000, 64);
	f.machine.write64(0x5000, 1);
	f.seen(0x6000);
	f.machine.write64(0x6000, 2);
	f.translator.all_written_back();
	assert_int_equal(f.seen(0x5000), 1);
	assert_int_equal(f.seen(0x6000), 2);
}

static void a_reset_forgets_what_was_written_back(void **)
{
	Stale f;

	f.machine.write64(0x5000, 1);
	f.translator.written_back(0x5000, 8);
	f.translator.reset();
	assert_int_equal(f.seen(0x5000), 0);
}

static void a_coherent_unit_sees_memory(void **)
{
	Stale f;

	f.features.coherent = true;
	f.machine.write64(0x5000, 1);
	assert_int_equal(f.seen(0x5000), 1);
	assert_int_equal(f.translator.counts.stale, 0);
}

/* Of root, context and paging entries each must be written back to translate. */
static void every_level_must_be_written_back(void **)
{
	static const unsigned reasons[] = { 1, 2, 6, 6, 6, 6 };

	for (unsigned missing = 0; missing < 7; missing++) {
		Stale f;
		uint64_t table = f.frame();
		f.context(nic, 1, table);
		f.map(table, 0x40201000, 0x7000 | RW);
		uint64_t entries[] = { f.tables.root, f.context_at(nic) };
		for (unsigned i = 0; i < 6; i++)
			if (i != missing)
				f.translator.written_back(i < 2 ? entries[i] :
								  f.entry_at(table, 0x40201000,
									     6 - i),
							  8);
		assert_int_equal(f.read_reason(nic, 0x40201000),
				 missing < 6 ? reasons[missing] : 0);
		assert_int_equal(f.translator.counts.stale, missing < 6 ? 1 : 0);
	}
}

static void a_changed_page_must_be_written_back_and_invalidated(void **)
{
	Stale f;
	uint64_t table = f.frame();

	f.context(nic, 1, table);
	f.map(table, 0x1000, 0x7000 | RW);
	f.translator.written_back(f.tables.root, 8);
	f.translator.written_back(f.context_at(nic), 8);
	for (unsigned level = 1; level <= 4; level++)
		f.translator.written_back(f.entry_at(table, 0x1000, level), 8);
	assert_int_equal(f.translate(nic, 0x1000), 0x7000);
	f.map(table, 0x1000, 0x8000 | RW);
	f.translator.invalidate_iotlb(Granularity::global, 0, 0, 0, false);
	assert_int_equal(f.translate(nic, 0x1000), 0x7000);
	f.translator.written_back(f.entry_at(table, 0x1000, 1), 8);
	assert_int_equal(f.translate(nic, 0x1000), 0x7000);
	f.translator.invalidate_iotlb(Granularity::global, 0, 0, 0, false);
	assert_int_equal(f.translate(nic, 0x1000), 0x8000);
}

static void interrupt_entries_must_be_written_back(void **)
{
	Stale f;
	Interrupt interrupt;
	Verdict verdict;

	f.interrupt_entry(1, P | 0x61 << 16);
	assert_false(f.translator.message(nic, 0xfee00030, 0, interrupt, verdict));
	assert_int_equal(verdict.reason, 0x22);
	f.translator.written_back(f.tables.interrupts + 16, 16);
	assert_true(f.translator.message(nic, 0xfee00030, 0, interrupt, verdict));
}

static void posted_descriptors_are_always_coherent(void **)
{
	Stale f;
	Interrupt interrupt;
	Verdict verdict;

	f.features.posted_interrupts = true;
	f.tables.extended = true;
	f.interrupt_entry(1, P | 1 << 15 | 0x41 << 16 | uint64_t(0x80000) << 32);
	f.translator.written_back(f.tables.interrupts + 16, 16);
	f.machine.write64(0x80000 + 32, 0xf2 << 16);
	assert_true(f.translator.message(nic, 0xfee00030, 0, interrupt, verdict));
	assert_int_equal(interrupt.vector, 0xf2);
	assert_int_equal(f.machine.read64(0x80008), 2);
	/* The unit's own write is in memory, so it sees it. */
	assert_int_equal(f.seen(0x80008), 2);
}

int main()
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_never_written_back_is_zero),
		cmocka_unit_test(a_line_is_seen_as_written_back),
		cmocka_unit_test(a_write_back_is_of_whole_lines_only),
		cmocka_unit_test(a_read_may_cross_lines),
		cmocka_unit_test(all_lines_that_are_known_are_written_back),
		cmocka_unit_test(a_reset_forgets_what_was_written_back),
		cmocka_unit_test(a_coherent_unit_sees_memory),
		cmocka_unit_test(every_level_must_be_written_back),
		cmocka_unit_test(a_changed_page_must_be_written_back_and_invalidated),
		cmocka_unit_test(interrupt_entries_must_be_written_back),
		cmocka_unit_test(posted_descriptors_are_always_coherent),
	};

	return cmocka_run_group_tests(tests, nullptr, nullptr);
}
