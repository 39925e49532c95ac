/* Configuration space of a function: lists, masks, BARs, decoding, bus mastering, FLR.
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

struct Fixture {
	TestMachine machine;
	Knobs knobs;
	TestUpstream upstream{ machine };
	TestFunction function{ machine, knobs, upstream };
};

} // namespace

static void identity_is_where_the_header_has_it(void **)
{
	Fixture f;

	assert_int_equal(f.function.config_read(0x00, 4), 0x56781234);
	assert_int_equal(f.function.config_read(0x08, 4), 0x02000003);
	assert_int_equal(f.function.config_read(0x2c, 4), 0x11001af4);
	assert_int_equal(f.function.config_read(0x0e, 1), 0);
	TestFunction many{ f.machine, f.knobs, f.upstream, "many", 0x11, true };
	assert_int_equal(many.config_read(0x0e, 1), 0x80);
	assert_int_equal(many.source(), 0x11);
}

static void identity_cannot_be_written(void **)
{
	Fixture f;

	f.function.config_write(0x00, 4, 0xffffffff);
	f.function.config_write(0x08, 4, 0xffffffff);
	assert_int_equal(f.function.config_read(0x00, 4), 0x56781234);
	assert_int_equal(f.function.config_read(0x08, 4), 0x02000003);
}

static void command_keeps_only_its_bits(void **)
{
	Fixture f;

	f.function.config_write(0x04, 4, 0xffffffff);
	assert_int_equal(f.function.config_read(0x04, 2), 0x0546);
	f.function.config_write(0x05, 1, 0);
	assert_int_equal(f.function.config_read(0x04, 2), 0x0046);
}

static void what_is_no_register_reads_as_ones(void **)
{
	Fixture f;

	assert_int_equal(f.function.config_read(4096, 4), 0xffffffff);
	assert_int_equal(f.function.config_read(1, 2), 0xffff);
	f.function.config_write(0x05, 2, 0xffff);
	assert_int_equal(f.function.config_read(0x04, 2), 0);
}

static void without_capabilities_the_status_says_so(void **)
{
	Fixture f;

	assert_int_equal(f.function.config_read(0x06, 2) & 0x10, 0);
	assert_int_equal(f.function.config_read(0x34, 1), 0);
	assert_int_equal(f.function.config_read(0x100, 4), 0);
	f.function.add_pcie(true);
	assert_int_equal(f.function.config_read(0x06, 2) & 0x10, 0x10);
}

static void capabilities_are_linked_in_their_order(void **)
{
	Fixture f;

	f.function.add_pcie(true);
	f.function.add_msi();
	unsigned vendor = f.function.add_capability(0x09, { 16, 1, 2, 3 }, { 0, 0xf0 });
	assert_int_equal(f.function.config_read(0x34, 1), f.function.capability(0x10));
	assert_int_equal(f.function.capability(0x05), 0x40 + 0x3c);
	assert_int_equal(f.function.capability(0x09), vendor);
	assert_int_equal(f.function.config_read(vendor + 1, 1), 0);
	assert_int_equal(vendor % 4, 0);
	f.function.config_write(vendor, 4, 0xffffffff);
	assert_int_equal(f.function.config_read(vendor, 4), 0xf1100009);
}

static void extended_capabilities_are_linked(void **)
{
	Fixture f;

	f.function.add_ats();
	f.function.add_acs();
	assert_int_equal(f.function.extended(0x000f), 0x100);
	assert_int_equal(f.function.extended(0x000d), 0x108);
	assert_int_equal(f.function.config_read(0x100, 4), 0x1081000f);
	assert_int_equal(f.function.config_read(0x108, 4), 0x0001000d);
}

static void pcie_says_version_type_and_flr(void **)
{
	Fixture f;

	f.function.add_pcie(true);
	unsigned at = f.function.capability(0x10);
	assert_int_equal(f.function.config_read(at + 2, 2), 2);
	assert_int_equal(f.function.config_read(at + 4, 4), 0x10008000);
	TestFunction plain{ f.machine, f.knobs, f.upstream, "plain", 0x18 };
	plain.add_pcie(false);
	assert_int_equal(plain.config_read(plain.capability(0x10) + 4, 4), 0x8000);
}

static void a_bar_shows_its_size(void **)
{
	Fixture f;

	f.function.add_bar(0, 0x100000);
	f.function.config_write(0x10, 4, 0xffffffff);
	assert_int_equal(f.function.config_read(0x10, 4), 0xfff00000);
	f.function.config_write(0x14, 4, 0xffffffff);
	assert_int_equal(f.function.config_read(0x14, 4), 0);
	assert_int_equal(f.function.bar(1).bytes, 0);
	assert_false(f.function.bar(7).decoded);
}

static void a_bar_answers_only_while_it_is_decoded(void **)
{
	Fixture f;
	unsigned changes = 0;

	f.function.add_bar(0, 0x1000);
	f.function.bars_changed = [&changes] { changes++; };
	f.function.value = 0x1122334455667788;
	f.function.config_write(0x10, 4, 0xe0000000);
	assert_int_equal(changes, 1);
	assert_int_equal(f.function.mmio_read(0, 8, 4), 0xffffffff);
	f.function.mmio_write(0, 8, 4, 1);
	assert_int_equal(f.function.reads + f.function.writes, 0);
	f.function.config_write(0x04, 2, 2);
	assert_int_equal(changes, 2);
	assert_true(f.function.bar(0).decoded);
	assert_int_equal(f.function.bar(0).address, 0xe0000000);
	assert_int_equal(f.function.mmio_read(0, 8, 2), 0x7788);
	assert_int_equal(f.function.mmio_read(0, 0x1000, 1), 0xff);
	assert_int_equal(f.function.reads, 1);
	f.function.config_write(0x3c, 1, 5);
	assert_int_equal(changes, 2);
}

static void a_bar_at_zero_is_not_decoded(void **)
{
	Fixture f;

	f.function.add_bar(0, 0x1000);
	f.function.config_write(0x04, 2, 6);
	assert_false(f.function.bar(0).decoded);
}

static void dma_needs_bus_mastering(void **)
{
	Fixture f;
	uint32_t data = 5;

	assert_false(f.function.dma_write(0x1000, &data, 4));
	assert_false(f.function.dma_read(0x1000, &data, 4));
	assert_int_equal(data, 0xffffffff);
	assert_true(f.upstream.requests.empty());
	f.function.start();
	data = 7;
	assert_true(f.function.dma_write(0x1000, &data, 4));
	assert_int_equal(f.machine.read32(0x1000), 7);
	assert_int_equal(f.upstream.requests[0].source, 0x10);
}

static void dma_does_not_cross_a_page_in_one_request(void **)
{
	Fixture f;
	uint8_t data[0x1800] = {};

	f.function.start();
	assert_true(f.function.dma_write(0x1ff0, data, sizeof(data)));
	assert_int_equal(f.upstream.requests.size(), 3);
	assert_int_equal(f.upstream.requests[0].bytes, 0x10);
	assert_int_equal(f.upstream.requests[1].address, 0x2000);
	assert_int_equal(f.upstream.requests[1].bytes, 0x1000);
	assert_int_equal(f.upstream.requests[2].bytes, 0x7f0);
	f.upstream.blocked = true;
	assert_false(f.function.dma_read(0x1ff0, data, sizeof(data)));
	assert_int_equal(f.upstream.requests.size(), 6);
}

static void flr_restores_all_but_the_payload_size(void **)
{
	Fixture f;
	unsigned changes = 0;

	f.function.add_bar(0, 0x1000);
	f.function.add_pcie(true);
	f.function.add_msi();
	f.function.add_ats();
	f.function.add_acs();
	f.function.start();
	f.function.bars_changed = [&changes] { changes++; };
	unsigned pcie = f.function.capability(0x10), msi = f.function.capability(0x05);
	f.function.config_write(msi + 2, 2, 1);
	f.function.config_write(0x106, 2, 0x8000);
	f.function.config_write(0x10e, 2, 0x4c);
	f.function.config_write(pcie + 8, 2, 0x0020);
	f.function.config_write(pcie + 8, 2, 0x8020);
	assert_int_equal(f.function.resets, 1);
	assert_int_equal(changes, 1);
	assert_int_equal(f.function.config_read(pcie + 8, 2), 0x2830);
	assert_int_equal(f.function.config_read(0x04, 2), 0);
	assert_int_equal(f.function.config_read(0x10, 4), 0);
	assert_int_equal(f.function.config_read(msi + 2, 2), 0x80);
	assert_int_equal(f.function.config_read(0x106, 2), 0);
	assert_int_equal(f.function.config_read(0x10e, 2), 0);
	f.function.reset();
	assert_int_equal(f.function.config_read(pcie + 8, 2), 0x2810);
}

static void flr_is_seen_in_writes_of_any_size(void **)
{
	Fixture f;

	f.function.add_pcie(true);
	unsigned pcie = f.function.capability(0x10);
	f.function.config_write(pcie + 9, 1, 0x80);
	assert_int_equal(f.function.resets, 1);
	f.function.config_write(pcie + 8, 4, 0x8000);
	assert_int_equal(f.function.resets, 2);
	f.function.config_write(pcie + 8, 1, 0x80);
	f.function.config_write(pcie + 10, 2, 0x8000);
	f.function.config_write(pcie + 8, 4, 0x7fff);
	assert_int_equal(f.function.resets, 2);
}

static void without_flr_the_bit_does_nothing(void **)
{
	Fixture f;

	f.function.add_pcie(false);
	f.function.config_write(f.function.capability(0x10) + 8, 2, 0x8000);
	assert_int_equal(f.function.resets, 0);
}

static void acs_is_off_until_it_is_enabled(void **)
{
	Fixture f;

	assert_false(f.function.redirects_requests());
	f.function.add_acs();
	assert_int_equal(f.function.config_read(0x104, 2), 0x4c);
	assert_false(f.function.redirects_requests());
	f.function.config_write(0x106, 2, 0xffff);
	assert_int_equal(f.function.config_read(0x106, 2), 0x4c);
	assert_true(f.function.redirects_requests());
	assert_false(f.function.redirects_translated_requests());
	f.function.config_write(0x106, 2, 0x0c);
	assert_true(f.function.redirects_translated_requests());
}

static void ats_says_its_depth_and_keeps_its_control(void **)
{
	Fixture f;

	assert_false(f.function.has_device_tlb());
	f.function.add_ats();
	assert_true(f.function.has_device_tlb());
	assert_int_equal(f.function.config_read(0x104, 2), 0x20);
	f.function.config_write(0x104, 4, 0xffffffff);
	assert_int_equal(f.function.config_read(0x104, 4), 0x801f0020);
}

int main()
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(identity_is_where_the_header_has_it),
		cmocka_unit_test(identity_cannot_be_written),
		cmocka_unit_test(command_keeps_only_its_bits),
		cmocka_unit_test(what_is_no_register_reads_as_ones),
		cmocka_unit_test(without_capabilities_the_status_says_so),
		cmocka_unit_test(capabilities_are_linked_in_their_order),
		cmocka_unit_test(extended_capabilities_are_linked),
		cmocka_unit_test(pcie_says_version_type_and_flr),
		cmocka_unit_test(a_bar_shows_its_size),
		cmocka_unit_test(a_bar_answers_only_while_it_is_decoded),
		cmocka_unit_test(a_bar_at_zero_is_not_decoded),
		cmocka_unit_test(dma_needs_bus_mastering),
		cmocka_unit_test(dma_does_not_cross_a_page_in_one_request),
		cmocka_unit_test(flr_restores_all_but_the_payload_size),
		cmocka_unit_test(flr_is_seen_in_writes_of_any_size),
		cmocka_unit_test(without_flr_the_bit_does_nothing),
		cmocka_unit_test(acs_is_off_until_it_is_enabled),
		cmocka_unit_test(ats_says_its_depth_and_keeps_its_control),
	};

	return cmocka_run_group_tests(tests, nullptr, nullptr);
}
