/* MSI and MSI-X: masks, pending bits, and when a message may be sent.
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

constexpr unsigned table = 0x2000, pending = 0x3000, entries = 3;

struct Fixture {
	TestMachine machine;
	Knobs knobs;
	TestUpstream upstream{ machine };
	TestFunction function{ machine, knobs, upstream };
	unsigned msi = 0, msix = 0;

	Fixture()
	{
		function.add_bar(0, 0x4000);
		function.add_msi();
		function.add_msix(0, table, pending, entries);
		msi = function.capability(0x05);
		msix = function.capability(0x11);
		function.start();
	}
	void set_entry(unsigned vector, uint64_t address, uint32_t data, uint32_t control)
	{
		function.mmio_write(0, table + 16 * vector, 8, address);
		function.mmio_write(0, table + 16 * vector + 8, 4, data);
		function.mmio_write(0, table + 16 * vector + 12, 4, control);
	}
	void enable_msix()
	{
		function.config_write(msix + 2, 2, 0x8000);
	}
	uint64_t pending_bits()
	{
		return function.mmio_read(0, pending, 8);
	}
};

} // namespace

static void msi_is_sent_as_programmed(void **)
{
	Fixture f;

	f.function.config_write(f.msi + 4, 4, 0xfee01003);
	f.function.config_write(f.msi + 12, 4, 0x4041);
	f.function.raise(0);
	assert_true(f.upstream.requests.empty());
	f.function.config_write(f.msi, 4, 1 << 16);
	f.function.raise(0);
	assert_int_equal(f.upstream.requests.size(), 1);
	assert_int_equal(f.upstream.requests[0].kind, Kind::message);
	assert_int_equal(f.upstream.requests[0].source, 0x10);
	assert_int_equal(f.upstream.requests[0].address, 0xfee01000);
	assert_int_equal(f.upstream.requests[0].data, 0x4041);
}

static void msi_has_one_vector_and_64_bits(void **)
{
	Fixture f;

	assert_int_equal(f.function.config_read(f.msi + 2, 2), 0x80);
	f.function.config_write(f.msi + 2, 2, 0xffff);
	assert_int_equal(f.function.config_read(f.msi + 2, 2), 0xf1);
}

static void a_message_needs_bus_mastering(void **)
{
	Fixture f;

	f.function.config_write(f.msi + 4, 4, 0xfee00000);
	f.function.config_write(f.msi + 2, 2, 1);
	f.function.config_write(0x04, 2, 2);
	f.function.raise(0);
	assert_true(f.upstream.requests.empty());
}

static void a_message_elsewhere_is_a_write(void **)
{
	Fixture f;

	f.function.config_write(f.msi + 4, 4, 0x5000);
	f.function.config_write(f.msi + 8, 4, 0x1);
	f.function.config_write(f.msi + 12, 2, 0x77);
	f.function.config_write(f.msi + 2, 2, 1);
	f.function.raise(0);
	assert_int_equal(f.upstream.requests[0].kind, Kind::write);
	assert_int_equal(f.upstream.requests[0].address, 0x100005000);
	assert_int_equal(f.machine.read32(0x100005000), 0x77);
}

static void a_message_that_causes_itself_ends(void **)
{
	Fixture f;

	f.function.config_write(f.msi + 4, 4, 0xfee00000);
	f.function.config_write(f.msi + 2, 2, 1);
	f.upstream.on_message = [&f] { f.function.raise(0); };
	f.function.raise(0);
	assert_int_equal(f.upstream.requests.size(), 1);
	f.function.raise(0);
	assert_int_equal(f.upstream.requests.size(), 2);
}

static void msix_says_where_its_table_is(void **)
{
	Fixture f;

	assert_int_equal(f.function.config_read(f.msix + 2, 2), entries - 1);
	assert_int_equal(f.function.config_read(f.msix + 4, 4), table);
	assert_int_equal(f.function.config_read(f.msix + 8, 4), pending);
	f.function.config_write(f.msix, 4, 0xffffffff);
	assert_int_equal(f.function.config_read(f.msix + 2, 2), 0xc000 | (entries - 1));
}

static void entries_are_masked_after_a_reset(void **)
{
	Fixture f;

	for (unsigned i = 0; i < entries; i++)
		assert_int_equal(f.function.mmio_read(0, table + 16 * i + 12, 4), 1);
	f.set_entry(1, 0xfee00000, 1, 0);
	f.function.reset();
	f.function.start();
	assert_int_equal(f.function.mmio_read(0, table + 16, 8), 0);
	assert_int_equal(f.function.mmio_read(0, table + 28, 4), 1);
}

static void an_entry_keeps_what_is_written(void **)
{
	Fixture f;

	f.set_entry(2, 0x123fee45678, 0x9abcdef0, 0xfffffffe);
	assert_int_equal(f.function.mmio_read(0, table + 32, 8), 0x123fee45678);
	assert_int_equal(f.function.mmio_read(0, table + 36, 4), 0x123);
	assert_int_equal(f.function.mmio_read(0, table + 40, 8), 0x9abcdef0);
	assert_int_equal(f.function.reads + f.function.writes, 0);
	f.function.mmio_write(0, table + 48, 4, 1);
	assert_int_equal(f.function.writes, 1);
}

static void msix_sends_the_entry_of_its_vector(void **)
{
	Fixture f;

	f.set_entry(1, 0xfee02000, 0x51, 0);
	f.function.raise(1);
	assert_true(f.upstream.requests.empty());
	f.enable_msix();
	assert_true(f.upstream.requests.empty());
	f.function.raise(1);
	assert_int_equal(f.upstream.requests.size(), 1);
	assert_int_equal(f.upstream.requests[0].address, 0xfee02000);
	assert_int_equal(f.upstream.requests[0].data, 0x51);
	f.function.raise(0xffff);
	f.function.raise(entries);
	assert_int_equal(f.upstream.requests.size(), 1);
}

static void msix_wins_over_msi(void **)
{
	Fixture f;

	f.function.config_write(f.msi + 4, 4, 0xfee0f000);
	f.function.config_write(f.msi + 2, 2, 1);
	f.set_entry(0, 0xfee02000, 0x51, 0);
	f.enable_msix();
	f.function.raise(0);
	assert_int_equal(f.upstream.requests[0].address, 0xfee02000);
}

static void a_masked_vector_is_sent_once_when_unmasked(void **)
{
	Fixture f;

	f.enable_msix();
	f.set_entry(2, 0xfee02000, 0x52, 1);
	f.function.raise(2);
	f.function.raise(2);
	assert_true(f.upstream.requests.empty());
	assert_int_equal(f.pending_bits(), 4);
	f.function.mmio_write(0, table + 44, 4, 0);
	assert_int_equal(f.upstream.requests.size(), 1);
	assert_int_equal(f.upstream.requests[0].data, 0x52);
	assert_int_equal(f.pending_bits(), 0);
}

static void the_function_mask_holds_all(void **)
{
	Fixture f;

	f.set_entry(0, 0xfee00000, 0x50, 0);
	f.set_entry(1, 0xfee00000, 0x51, 1);
	f.function.config_write(f.msix + 2, 2, 0xc000);
	f.function.raise(0);
	f.function.raise(1);
	assert_true(f.upstream.requests.empty());
	assert_int_equal(f.pending_bits(), 3);
	f.enable_msix();
	assert_int_equal(f.upstream.requests.size(), 1);
	assert_int_equal(f.upstream.requests[0].data, 0x50);
	assert_int_equal(f.pending_bits(), 2);
}

static void what_is_pending_waits_for_bus_mastering(void **)
{
	Fixture f;

	f.enable_msix();
	f.function.raise(0);
	f.function.config_write(0x04, 2, 2);
	f.set_entry(0, 0xfee00000, 0x50, 0);
	assert_true(f.upstream.requests.empty());
	assert_int_equal(f.pending_bits(), 1);
	f.function.config_write(0x04, 2, 6);
	assert_int_equal(f.upstream.requests.size(), 1);
	assert_int_equal(f.pending_bits(), 0);
}

static void pending_bits_cannot_be_written(void **)
{
	Fixture f;

	f.enable_msix();
	f.function.raise(1);
	f.function.mmio_write(0, pending, 8, 0);
	assert_int_equal(f.pending_bits(), 2);
	f.function.mmio_write(0, pending, 8, ~0ull);
	assert_int_equal(f.pending_bits(), 2);
	f.function.reset();
	f.function.start();
	assert_int_equal(f.pending_bits(), 0);
}

int main()
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(msi_is_sent_as_programmed),
		cmocka_unit_test(msi_has_one_vector_and_64_bits),
		cmocka_unit_test(a_message_needs_bus_mastering),
		cmocka_unit_test(a_message_elsewhere_is_a_write),
		cmocka_unit_test(a_message_that_causes_itself_ends),
		cmocka_unit_test(msix_says_where_its_table_is),
		cmocka_unit_test(entries_are_masked_after_a_reset),
		cmocka_unit_test(an_entry_keeps_what_is_written),
		cmocka_unit_test(msix_sends_the_entry_of_its_vector),
		cmocka_unit_test(msix_wins_over_msi),
		cmocka_unit_test(a_masked_vector_is_sent_once_when_unmasked),
		cmocka_unit_test(the_function_mask_holds_all),
		cmocka_unit_test(what_is_pending_waits_for_bus_mastering),
		cmocka_unit_test(pending_bits_cannot_be_written),
	};

	return cmocka_run_group_tests(tests, nullptr, nullptr);
}
