/* sources: tests/bochs/testmachine.cc tests/bochs/virtiodriver.cc tests/bochs/knobs.cc
 * sources: tests/bochs/devices/virtionet.cc tests/bochs/devices/virtio.cc
 * sources: tests/bochs/devices/virtqueue.cc tests/bochs/devices/function.cc
 * sources: tests/bochs/devices/configspace.cc tests/bochs/devices/msi.cc
 * sources: tests/bochs/devices/devicetlb.cc */
/* The virtio transport over PCI, by the network device on it: registers, features, status,
 * configuration changes and resets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

extern "C" {
#include <cmocka.h>
}

#include <bochs/virtionetbench.h>

using namespace bochs;

#define COMMON(field) offsetof(VirtioCommon, field)

static constexpr uint64_t FEATURES = VIRTIO_F_VERSION_1 | VIRTIO_F_ACCESS_PLATFORM;

static void it_is_a_modern_network_device(void **)
{
	NetBench b;
	uint32_t bytes;

	assert_int_equal(b.net.config_read(0, 4), 0x10411af4);
	assert_int_equal(b.net.config_read(8, 4), 0x02000001);
	assert_int_equal(b.driver.structure(VIRTIO_PCI_CAP_COMMON_CFG, bytes), 0);
	assert_int_equal(bytes, 56);
	assert_int_equal(b.driver.structure(VIRTIO_PCI_CAP_ISR_CFG, bytes), 0x1000);
	assert_int_equal(bytes, 1);
	assert_int_equal(b.driver.structure(VIRTIO_PCI_CAP_DEVICE_CFG, bytes), 0x2000);
	assert_int_equal(bytes, 12);
	assert_int_equal(b.driver.structure(VIRTIO_PCI_CAP_NOTIFY_CFG, bytes), 0x3000);
	assert_int_equal(bytes, 8);
	assert_int_equal(b.driver.read(COMMON(num_queues), 2), 2);
}

static void its_configuration_has_mac_link_and_mtu(void **)
{
	NetBench b;

	assert_int_equal(b.driver.read(0x2000, 4), 0x05040302);
	assert_int_equal(b.driver.read(0x2004, 2), 0x0706);
	assert_int_equal(b.driver.read(0x2006, 2), 1);
	assert_int_equal(b.driver.read(0x200a, 2), 1400);
	assert_int_equal(b.driver.offered(), FEATURES | 1 << 3 | 1 << 5 | 1 << 16);
}

static void only_a_driver_behind_the_unit_is_accepted(void **)
{
	NetBench b;

	assert_false(b.driver.accept(VIRTIO_F_VERSION_1));
	assert_false(b.driver.accept(VIRTIO_F_ACCESS_PLATFORM));
	assert_false(b.driver.accept(FEATURES | 1));
	b.driver.set_status(RUNNING);
	assert_int_equal(b.driver.status() & VIRTIO_DRIVER_OK, 0);
	assert_true(b.driver.accept(FEATURES | 1 << 5));
}

static void features_are_fixed_once_they_are_accepted(void **)
{
	NetBench b;

	assert_true(b.driver.accept(FEATURES));
	b.driver.write(COMMON(driver_feature_select), 4, 0);
	b.driver.write(COMMON(driver_feature), 4, 1 << 5);
	assert_int_equal(b.driver.read(COMMON(driver_feature), 4), 0);
	b.expect("bad", "1");
}

static void status_bits_stay_until_the_reset(void **)
{
	NetBench b;

	b.start();
	b.driver.set_status(VIRTIO_ACKNOWLEDGE);
	assert_int_equal(b.driver.status(), RUNNING);
	b.driver.set_status(VIRTIO_DEVICE_NEEDS_RESET);
	assert_int_equal(b.driver.status(), RUNNING);
	b.driver.set_status(0);
	assert_int_equal(b.driver.status(), 0);
}

static void a_reset_forgets_the_queues(void **)
{
	NetBench b;

	b.start();
	b.driver.write(COMMON(queue_select), 2, 1);
	assert_int_equal(b.driver.read(COMMON(queue_enable), 2), 1);
	assert_int_equal(b.driver.read(COMMON(queue_size), 2), 8);
	assert_int_equal(b.driver.read(COMMON(queue_desc), 4), 0x20000);
	b.driver.set_status(0);
	b.driver.write(COMMON(queue_select), 2, 1);
	assert_int_equal(b.driver.read(COMMON(queue_enable), 2), 0);
	assert_int_equal(b.driver.read(COMMON(queue_size), 2), 256);
	assert_int_equal(b.driver.read(COMMON(queue_desc), 4), 0);
	assert_int_equal(b.driver.read(COMMON(queue_msix_vector), 2), 0xffff);
	assert_int_equal(b.driver.read(COMMON(config_msix_vector), 2), 0xffff);
}

static void a_function_level_reset_stops_the_device(void **)
{
	NetBench b;
	unsigned at = b.net.config_read(0x34, 1);

	b.start();
	b.driver.add(b.tx, { { BUFFER, HEADER + 60, false } });
	b.driver.notify(b.tx);
	while (b.net.config_read(at, 1) != 0x10)
		at = b.net.config_read(at + 1, 1);
	b.net.config_write(at + 8, 2, 0x8000);
	uint64_t requests = b.upstream.requests;
	b.machine.advance(1000000);
	assert_int_equal(b.upstream.requests, requests);
	assert_int_equal(b.wire.frames.size(), 0);
	b.driver.enable_pci();
	assert_int_equal(b.driver.status(), 0);
}

static void there_is_no_queue_behind_the_last_one(void **)
{
	NetBench b;

	b.driver.write(COMMON(queue_select), 2, 2);
	assert_int_equal(b.driver.read(COMMON(queue_size), 2), 0);
	b.driver.write(COMMON(queue_enable), 2, 1);
	assert_int_equal(b.driver.read(COMMON(queue_enable), 2), 0);
}

static void a_vector_that_is_not_there_reads_back_as_none(void **)
{
	NetBench b;

	b.driver.write(COMMON(config_msix_vector), 2, 3);
	assert_int_equal(b.driver.read(COMMON(config_msix_vector), 2), 0xffff);
	b.driver.write(COMMON(config_msix_vector), 2, 2);
	assert_int_equal(b.driver.read(COMMON(config_msix_vector), 2), 2);
}

static void fields_are_written_with_their_own_width(void **)
{
	NetBench b;

	b.driver.write(COMMON(queue_desc), 8, 0x123456789000);
	b.driver.write(COMMON(queue_size), 4, 4);
	assert_int_equal(b.driver.read(COMMON(queue_desc), 4), 0);
	assert_int_equal(b.driver.read(COMMON(queue_size), 2), 256);
	b.expect("bad", "2");
}

static void an_enabled_queue_is_not_moved(void **)
{
	NetBench b;

	b.start();
	b.driver.write(COMMON(queue_select), 2, 0);
	b.driver.write(COMMON(queue_desc), 4, 0x50000);
	b.driver.write(COMMON(queue_enable), 2, 0);
	assert_int_equal(b.driver.read(COMMON(queue_desc), 4), 0x10000);
	assert_int_equal(b.driver.read(COMMON(queue_enable), 2), 1);
	b.expect("bad", "2");
}

static void a_misaligned_ring_needs_a_reset(void **)
{
	NetBench b;

	b.rx.descriptors += 8;
	b.start();
	assert_int_equal(b.driver.status() & VIRTIO_DEVICE_NEEDS_RESET, VIRTIO_DEVICE_NEEDS_RESET);
	assert_true(b.machine.logged("not aligned"));
}

static void the_link_goes_down_and_the_driver_is_told(void **)
{
	NetBench b;

	b.start();
	uint64_t generation = b.driver.read(COMMON(config_generation), 1);
	assert_string_equal(b.knobs.set("net0.link", "0").c_str(), "");
	assert_int_equal(b.driver.read(0x2006, 2), 0);
	assert_int_not_equal(b.driver.read(COMMON(config_generation), 1), generation);
	assert_int_equal(b.upstream.messages.size(), 1);
	assert_int_equal(b.upstream.messages[0], CONFIG_VECTOR);
	assert_int_equal(b.driver.isr(), VIRTIO_ISR_CONFIG);
	assert_int_equal(b.driver.isr(), 0);
	b.driver.add(b.rx, { { BUFFER, 2048, true } });
	b.receive_frame(60);
	b.expect("dropped", "1");
}

static void a_link_that_changes_before_the_driver_runs_is_silent(void **)
{
	NetBench b;

	assert_string_equal(b.knobs.set("net0.link", "0").c_str(), "");
	assert_int_equal(b.upstream.messages.size(), 0);
	assert_int_equal(b.driver.isr(), 0);
	assert_string_not_equal(b.knobs.set("net0.link", "2").c_str(), "");
}

#define CASE(name) cmocka_unit_test(name)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(it_is_a_modern_network_device),
		CASE(its_configuration_has_mac_link_and_mtu),
		CASE(only_a_driver_behind_the_unit_is_accepted),
		CASE(features_are_fixed_once_they_are_accepted),
		CASE(status_bits_stay_until_the_reset),
		CASE(a_reset_forgets_the_queues),
		CASE(a_function_level_reset_stops_the_device),
		CASE(there_is_no_queue_behind_the_last_one),
		CASE(a_vector_that_is_not_there_reads_back_as_none),
		CASE(fields_are_written_with_their_own_width),
		CASE(an_enabled_queue_is_not_moved),
		CASE(a_misaligned_ring_needs_a_reset),
		CASE(the_link_goes_down_and_the_driver_is_told),
		CASE(a_link_that_changes_before_the_driver_runs_is_silent),
	};

	return cmocka_run_group_tests(tests, nullptr, nullptr);
}
