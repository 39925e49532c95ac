/* sources: tests/bochs/testmachine.cc tests/bochs/virtiodriver.cc tests/bochs/knobs.cc
 * sources: tests/bochs/devices/virtionet.cc tests/bochs/devices/virtio.cc
 * sources: tests/bochs/devices/virtqueue.cc tests/bochs/devices/function.cc
 * sources: tests/bochs/devices/configspace.cc tests/bochs/devices/msi.cc
 * sources: tests/bochs/devices/devicetlb.cc */
/* The virtio network device: notifications and interrupts, frames in and out, and what happens to
 * them when the driver or the remapping unit is in the way. */
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

static constexpr uint64_t FEATURES = VIRTIO_F_VERSION_1 | VIRTIO_F_ACCESS_PLATFORM;

/* --- transmit ------------------------------------------------------------- */

static void a_frame_goes_out_some_time_after_the_notification(void **)
{
	NetBench b;
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
	NetBench b;

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

static void a_reset_forgets_a_notification(void **)
{
	NetBench b;

	b.start();
	b.driver.add(b.tx, { { BUFFER, HEADER + 60, false } });
	b.driver.notify(b.tx);
	b.start();
	b.machine.advance(10000);
	b.expect("tx", "0");
	b.driver.run(b.tx);
	b.expect("tx", "1");
}

static void several_frames_are_one_interrupt(void **)
{
	NetBench b;

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
	NetBench b;
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
	NetBench b;

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
	NetBench b;
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
	NetBench b;

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
	NetBench b;

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
	NetBench b;

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
	NetBench b;

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
	NetBench b;

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
	NetBench b;

	b.receive_frame(60);
	b.start();
	b.receive_frame(60);
	b.expect("dropped", "2");
	b.expect("rx", "0");
	assert_int_equal(b.upstream.messages.size(), 0);
}

static void a_frame_comes_in_behind_its_header(void **)
{
	NetBench b;
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
	NetBench b;
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
	NetBench b;
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
	NetBench b;
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
		CASE(a_frame_goes_out_some_time_after_the_notification),
		CASE(the_delay_is_a_knob),
		CASE(a_reset_forgets_a_notification),
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
