/* sources: tests/bochs/testmachine.cc tests/bochs/virtiodriver.cc tests/bochs/knobs.cc
 * tests/bochs/devices/virtionet.cc tests/bochs/devices/virtio.cc tests/bochs/devices/virtqueue.cc
 * tests/bochs/devices/function.cc tests/bochs/devices/configspace.cc tests/bochs/devices/msi.cc
 * tests/bochs/devices/devicetlb.cc */
/* The virtio transport over PCI, and the network device on it: registers, features, interrupts,
 * resets; frames in and out, and what happens to them when the driver or the remapping unit is in
 * the way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

extern "C" {
#include <cmocka.h>
}

#include <bochs/devices/virtionet.h>
#include <bochs/virtiodriver.h>

using namespace bochs;

#define COMMON(field) offsetof(VirtioCommon, field)

static constexpr uint64_t FEATURES = VIRTIO_F_VERSION_1 | VIRTIO_F_ACCESS_PLATFORM;
static constexpr uint64_t BUFFER = 0x100000; /* pages for frames */
static constexpr unsigned HEADER = 12;
static constexpr unsigned CONFIG_VECTOR = 2;
static constexpr uint8_t RUNNING = 15;

namespace
{

struct Wire : public NetBackend {
	std::vector<std::vector<uint8_t>> frames;

	void send(const uint8_t *frame, unsigned bytes) override
	{
		frames.emplace_back(frame, frame + bytes);
	}
};

struct Bench {
	TestMachine machine;
	Knobs knobs;
	OpenUpstream upstream{ machine };
	VirtioNet net{ machine, knobs, upstream, "net0", 0x0018, { 2, 3, 4, 5, 6, 7 }, 1400 };
	VirtioDriver driver{ machine, net };
	DriverQueue rx = driver_queue(0, 0x10000), tx = driver_queue(1, 0x20000);
	Wire wire;

	Bench()
	{
		net.set_backend(&wire);
		driver.enable_pci();
	}
	void start()
	{
		driver.start(0, { &rx, &tx });
	}
	std::string knob(const char *name)
	{
		std::string value;

		assert_true(knobs.get(std::string("net0.") + name, value));
		return value;
	}
	void expect(const char *name, const char *value)
	{
		assert_string_equal(knob(name).c_str(), value);
	}
	void receive_frame(unsigned bytes)
	{
		std::vector<uint8_t> frame(bytes);

		for (unsigned i = 0; i < bytes; i++)
			frame[i] = i;
		net.receive(frame.data(), bytes);
	}
	void transmit_frame(uint64_t at, unsigned bytes)
	{
		driver.add(tx, { { at, HEADER + bytes, false } });
		driver.run(tx);
	}
};

} // namespace

/* --- the transport -------------------------------------------------------- */

static void it_is_a_modern_network_device(void **)
{
	Bench b;
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
	Bench b;

	assert_int_equal(b.driver.read(0x2000, 4), 0x05040302);
	assert_int_equal(b.driver.read(0x2004, 2), 0x0706);
	assert_int_equal(b.driver.read(0x2006, 2), 1);
	assert_int_equal(b.driver.read(0x200a, 2), 1400);
	assert_int_equal(b.driver.offered(), FEATURES | 1 << 3 | 1 << 5 | 1 << 16);
}

static void only_a_driver_behind_the_unit_is_accepted(void **)
{
	Bench b;

	assert_false(b.driver.accept(VIRTIO_F_VERSION_1));
	assert_false(b.driver.accept(VIRTIO_F_ACCESS_PLATFORM));
	assert_false(b.driver.accept(FEATURES | 1));
	b.driver.set_status(RUNNING);
	assert_int_equal(b.driver.status() & VIRTIO_DRIVER_OK, 0);
	assert_true(b.driver.accept(FEATURES | 1 << 5));
}

static void features_are_fixed_once_they_are_accepted(void **)
{
	Bench b;

	assert_true(b.driver.accept(FEATURES));
	b.driver.write(COMMON(driver_feature_select), 4, 0);
	b.driver.write(COMMON(driver_feature), 4, 1 << 5);
	assert_int_equal(b.driver.read(COMMON(driver_feature), 4), 0);
	b.expect("bad", "1");
}

static void status_bits_stay_until_the_reset(void **)
{
	Bench b;

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
	Bench b;

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
	Bench b;
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
	Bench b;

	b.driver.write(COMMON(queue_select), 2, 2);
	assert_int_equal(b.driver.read(COMMON(queue_size), 2), 0);
	b.driver.write(COMMON(queue_enable), 2, 1);
	assert_int_equal(b.driver.read(COMMON(queue_enable), 2), 0);
}

static void a_vector_that_is_not_there_reads_back_as_none(void **)
{
	Bench b;

	b.driver.write(COMMON(config_msix_vector), 2, 3);
	assert_int_equal(b.driver.read(COMMON(config_msix_vector), 2), 0xffff);
	b.driver.write(COMMON(config_msix_vector), 2, 2);
	assert_int_equal(b.driver.read(COMMON(config_msix_vector), 2), 2);
}

static void fields_are_written_with_their_own_width(void **)
{
	Bench b;

	b.driver.write(COMMON(queue_desc), 8, 0x123456789000);
	b.driver.write(COMMON(queue_size), 4, 4);
	assert_int_equal(b.driver.read(COMMON(queue_desc), 4), 0);
	assert_int_equal(b.driver.read(COMMON(queue_size), 2), 256);
	b.expect("bad", "2");
}

static void an_enabled_queue_is_not_moved(void **)
{
	Bench b;

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
	Bench b;

	b.rx.descriptors += 8;
	b.start();
	assert_int_equal(b.driver.status() & VIRTIO_DEVICE_NEEDS_RESET, VIRTIO_DEVICE_NEEDS_RESET);
	assert_true(b.machine.logged("not aligned"));
}

static void the_link_goes_down_and_the_driver_is_told(void **)
{
	Bench b;

	b.start();
	uint64_t generation = b.driver.read(COMMON(config_generation), 1);
	assert_string_equal(b.knobs.set("net0.link", "0").c_str(), "");
	assert_int_equal(b.driver.read(0x2006, 2), 0);
	assert_int_not_equal(b.driver.read(COMMON(config_generation), 1), generation);
	assert_int_equal(b.upstream.messages.size(), 1);
	assert_int_equal(b.upstream.messages[0], CONFIG_VECTOR);
	assert_int_equal(b.driver.isr(), VIRTIO_ISR_CONFIG);
	assert_int_equal(b.driver.isr(), 0);
	b.receive_frame(60);
	b.expect("dropped", "1");
}

static void a_link_that_changes_before_the_driver_runs_is_silent(void **)
{
	Bench b;

	assert_string_equal(b.knobs.set("net0.link", "0").c_str(), "");
	assert_int_equal(b.upstream.messages.size(), 0);
	assert_int_equal(b.driver.isr(), 0);
	assert_string_not_equal(b.knobs.set("net0.link", "2").c_str(), "");
}

/* --- transmit ------------------------------------------------------------- */

static void a_frame_goes_out_some_time_after_the_notification(void **)
{
	Bench b;
	uint32_t head, length;

	b.start();
	b.machine.write(BUFFER + HEADER, "0123456789abcdefghij", 20);
	b.driver.add(b.tx, { { BUFFER, HEADER, false },
			     { BUFFER + HEADER, 15, false },
			     { BUFFER + HEADER + 15, 5, false } });
	b.driver.notify(b.tx);
	assert_int_equal(b.wire.frames.size(), 0);
	b.machine.advance(1000);
	assert_int_equal(b.wire.frames.size(), 1);
	assert_int_equal(b.wire.frames[0].size(), 20);
	assert_memory_equal(b.wire.frames[0].data(), "0123456789abcdefghij", 20);
	assert_true(b.driver.used(b.tx, head, length));
	assert_int_equal(head, 0);
	assert_int_equal(length, 0);
	assert_int_equal(b.upstream.messages.size(), 1);
	assert_int_equal(b.upstream.messages[0], 1);
	b.expect("tx", "1");
}

static void the_delay_is_a_knob(void **)
{
	Bench b;

	b.start();
	assert_string_equal(b.knobs.set("net0.delay", "5000").c_str(), "");
	b.driver.add(b.tx, { { BUFFER, HEADER + 60, false } });
	b.driver.notify(b.tx);
	b.machine.advance(4000);
	b.driver.notify(b.tx); /* does not put it off */
	assert_int_equal(b.wire.frames.size(), 0);
	b.machine.advance(1000);
	assert_int_equal(b.wire.frames.size(), 1);
}

static void several_frames_are_one_interrupt(void **)
{
	Bench b;

	b.start();
	b.driver.add(b.tx, { { BUFFER, HEADER + 60, false } });
	b.driver.add(b.tx, { { BUFFER, HEADER + 61, false } });
	b.driver.run(b.tx);
	assert_int_equal(b.wire.frames.size(), 2);
	assert_int_equal(b.wire.frames[1].size(), 61);
	assert_int_equal(b.upstream.messages.size(), 1);
}

static void no_interrupt_is_sent_that_the_driver_does_not_want(void **)
{
	Bench b;
	uint16_t flags = 1;

	b.start();
	b.machine.write(b.tx.driver, &flags, 2);
	b.transmit_frame(BUFFER, 60);
	b.expect("tx", "1");
	assert_int_equal(b.upstream.messages.size(), 0);
	assert_int_equal(b.driver.isr(), 0);
}

static void a_masked_vector_is_sent_when_it_is_unmasked(void **)
{
	Bench b;

	b.start();
	b.net.mmio_write(1, 16 + 12, 4, 1);
	b.transmit_frame(BUFFER, 60);
	assert_int_equal(b.upstream.messages.size(), 0);
	assert_int_equal(b.net.mmio_read(1, 0x800, 4), 2);
	b.net.mmio_write(1, 16 + 12, 4, 0);
	assert_int_equal(b.upstream.messages.size(), 1);
}

static void frames_that_ask_for_offloads_or_are_too_short_are_bad(void **)
{
	Bench b;
	uint32_t head, length;
	uint8_t needs_csum = 1;

	b.start();
	b.machine.write(BUFFER, &needs_csum, 1);
	b.transmit_frame(BUFFER, 60);
	b.transmit_frame(BUFFER + 0x1000, 13);
	assert_int_equal(b.wire.frames.size(), 0);
	b.expect("bad", "2");
	assert_true(b.driver.used(b.tx, head, length));
	assert_true(b.driver.used(b.tx, head, length));
	assert_int_equal(b.driver.status(), RUNNING);
}

static void a_blocked_frame_is_bad_and_the_device_runs_on(void **)
{
	Bench b;

	b.start();
	b.upstream.blocked.insert((BUFFER + 0x1000) >> 12);
	b.driver.add(b.tx, { { BUFFER, HEADER, false }, { BUFFER + 0x1000, 60, false } });
	b.driver.run(b.tx);
	b.expect("bad", "1");
	b.expect("tx", "0");
	b.transmit_frame(BUFFER, 60);
	b.expect("tx", "1");
}

static void a_notification_before_driver_ok_is_ignored(void **)
{
	Bench b;

	b.driver.accept(FEATURES);
	b.driver.set_up_queue(b.tx, 1);
	b.driver.add(b.tx, { { BUFFER, HEADER + 60, false } });
	b.driver.run(b.tx);
	assert_int_equal(b.upstream.requests, 0);
	b.expect("bad", "1");
	b.driver.set_status(VIRTIO_DRIVER_OK);
	b.driver.run(b.tx);
	b.expect("tx", "1");
}

static void a_notification_at_another_queues_address_is_ignored(void **)
{
	Bench b;

	b.start();
	b.driver.add(b.tx, { { BUFFER, HEADER + 60, false } });
	b.driver.write(VIRTIO_NOTIFY_OFFSET, 2, 1);
	b.driver.write(VIRTIO_NOTIFY_OFFSET + 8, 2, 2);
	b.machine.advance(10000);
	b.expect("tx", "0");
	b.expect("bad", "2");
}

static void a_bad_ring_needs_a_reset_and_works_after_it(void **)
{
	Bench b;

	b.start();
	b.driver.make_available(b.tx, 9);
	b.driver.run(b.tx);
	assert_int_equal(b.driver.status(), RUNNING | VIRTIO_DEVICE_NEEDS_RESET);
	assert_int_equal(b.upstream.messages.size(), 1);
	assert_int_equal(b.upstream.messages[0], CONFIG_VECTOR);
	assert_int_equal(b.driver.isr(), VIRTIO_ISR_CONFIG);
	uint64_t requests = b.upstream.requests;
	b.driver.notify(b.tx);
	b.receive_frame(60);
	b.machine.advance(10000);
	assert_int_equal(b.upstream.requests, requests);

	b.machine.write32(b.tx.driver, 0);
	b.machine.write32(b.rx.driver, 0);
	b.machine.write32(b.tx.device, 0);
	b.tx = driver_queue(1, 0x20000);
	b.start();
	b.transmit_frame(BUFFER, 60);
	b.expect("tx", "1");
	assert_int_equal(b.driver.status(), RUNNING);
}

static void nothing_is_done_without_bus_mastering(void **)
{
	Bench b;

	b.start();
	b.net.config_write(4, 2, 2);
	b.driver.add(b.tx, { { BUFFER, HEADER + 60, false } });
	b.driver.run(b.tx);
	b.receive_frame(60);
	assert_int_equal(b.upstream.requests, 0);
	assert_int_equal(b.driver.status(), RUNNING);
	b.net.config_write(4, 2, 6);
	b.driver.run(b.tx);
	b.expect("tx", "1");
}

/* --- receive -------------------------------------------------------------- */

static void a_frame_without_buffer_is_dropped(void **)
{
	Bench b;

	b.receive_frame(60);
	b.start();
	b.receive_frame(60);
	b.expect("dropped", "2");
	b.expect("rx", "0");
	assert_int_equal(b.upstream.messages.size(), 0);
}

static void a_frame_comes_in_behind_its_header(void **)
{
	Bench b;
	uint32_t head, length;
	uint8_t got[HEADER + 100];

	b.start();
	b.machine.write(BUFFER, "xxxxxxxxxxxx", HEADER);
	b.driver.add(b.rx, { { BUFFER, HEADER + 30, true }, { BUFFER + 0x1000, 1500, true } });
	b.receive_frame(100);
	assert_true(b.driver.used(b.rx, head, length));
	assert_int_equal(head, 0);
	assert_int_equal(length, HEADER + 100);
	b.machine.read(BUFFER, got, HEADER + 30);
	b.machine.read(BUFFER + 0x1000, got + HEADER + 30, 70);
	assert_memory_equal(got, "\0\0\0\0\0\0\0\0\0\0\1\0", HEADER);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(got[HEADER + i], i);
	assert_int_equal(b.upstream.messages.size(), 1);
	assert_int_equal(b.upstream.messages[0], 0);
	assert_int_equal(b.driver.isr(), VIRTIO_ISR_QUEUE);
	b.expect("rx", "1");
}

static void a_frame_that_does_not_fit_is_dropped_and_its_buffer_returned(void **)
{
	Bench b;
	uint32_t head, length;

	b.start();
	b.driver.add(b.rx, { { BUFFER, HEADER + 59, true } });
	b.receive_frame(60);
	assert_true(b.driver.used(b.rx, head, length));
	assert_int_equal(length, 0);
	b.expect("dropped", "1");
	b.expect("bad", "1");
	b.expect("rx", "0");
	assert_int_equal(b.machine.read32(BUFFER + HEADER), 0);
}

static void a_blocked_buffer_takes_no_frame(void **)
{
	Bench b;
	uint32_t head, length;

	b.start();
	b.upstream.blocked.insert(BUFFER >> 12);
	b.driver.add(b.rx, { { BUFFER, 2048, true } });
	b.driver.add(b.rx, { { BUFFER + 0x1000, 2048, true } });
	b.receive_frame(60);
	assert_true(b.driver.used(b.rx, head, length));
	assert_int_equal(length, 0);
	b.receive_frame(60);
	assert_true(b.driver.used(b.rx, head, length));
	assert_int_equal(length, HEADER + 60);
	b.expect("bad", "1");
	b.expect("rx", "1");
}

static void frames_of_no_possible_size_are_dropped(void **)
{
	Bench b;
	uint32_t head, length;

	b.start();
	b.driver.add(b.rx, { { BUFFER, 0x20000, true } });
	b.receive_frame(13);
	b.receive_frame(65551);
	b.expect("dropped", "2");
	assert_false(b.driver.used(b.rx, head, length));
}

static void with_ats_it_asks_for_translations(void **)
{
	TestMachine machine;
	Knobs knobs;
	OpenUpstream upstream(machine);
	VirtioNet net(machine, knobs, upstream, "net0", 0x0018, { 2, 3, 4, 5, 6, 7 }, 0, true);

	assert_int_equal(net.config_read(0x100, 2), 0x000f);
	assert_true(net.has_device_tlb());
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
		CASE(a_frame_goes_out_some_time_after_the_notification),
		CASE(the_delay_is_a_knob),
		CASE(several_frames_are_one_interrupt),
		CASE(no_interrupt_is_sent_that_the_driver_does_not_want),
		CASE(a_masked_vector_is_sent_when_it_is_unmasked),
		CASE(frames_that_ask_for_offloads_or_are_too_short_are_bad),
		CASE(a_blocked_frame_is_bad_and_the_device_runs_on),
		CASE(a_notification_before_driver_ok_is_ignored),
		CASE(a_notification_at_another_queues_address_is_ignored),
		CASE(a_bad_ring_needs_a_reset_and_works_after_it),
		CASE(nothing_is_done_without_bus_mastering),
		CASE(a_frame_without_buffer_is_dropped),
		CASE(a_frame_comes_in_behind_its_header),
		CASE(a_frame_that_does_not_fit_is_dropped_and_its_buffer_returned),
		CASE(a_blocked_buffer_takes_no_frame),
		CASE(frames_of_no_possible_size_are_dropped),
		CASE(with_ats_it_asks_for_translations),
	};

	return cmocka_run_group_tests(tests, nullptr, nullptr);
}
