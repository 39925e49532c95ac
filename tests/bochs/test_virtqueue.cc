/* sources: tests/bochs/testmachine.cc tests/bochs/devices/virtqueue.cc */
/* Split virtqueues on the device's side: chains come out whole and in order, whatever breaks a rule
 * is refused with the reason, and the queue stays broken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

extern "C" {
#include <cmocka.h>
}

#include <bochs/devices/virtqueue.h>
#include <bochs/testmachine.h>

using namespace bochs;

static constexpr uint64_t DESCRIPTORS = 0x10000, DRIVER = 0x20000, DEVICE = 0x30000;
static constexpr uint16_t NEXT = 1, WRITE = 2, INDIRECT = 4;

namespace
{

struct Bench : public VirtqueueMemory {
	TestMachine machine;
	Virtqueue queue{ *this };
	uint64_t blocked = ~0ull; /* a page */
	uint16_t available = 0;

	explicit Bench(uint16_t size = 8)
	{
		queue.registers.size = size;
		queue.registers.descriptors = DESCRIPTORS;
		queue.registers.driver = DRIVER;
		queue.registers.device = DEVICE;
		queue.enable();
	}
	bool queue_read(uint64_t address, void *to, unsigned bytes) override
	{
		machine.read(address, to, bytes);
		return address >> 12 != blocked >> 12;
	}
	bool queue_write(uint64_t address, const void *from, unsigned bytes) override
	{
		if (address >> 12 == blocked >> 12)
			return false;
		machine.write(address, from, bytes);
		return true;
	}
	void descriptor(unsigned index, uint64_t address, uint32_t length, uint16_t flags,
			uint16_t next = 0)
	{
		machine.write64(DESCRIPTORS + 16 * index, address);
		machine.write32(DESCRIPTORS + 16 * index + 8, length);
		machine.write32(DESCRIPTORS + 16 * index + 12, flags | (uint32_t)next << 16);
	}
	void offer(uint16_t head)
	{
		machine.write(DRIVER + 4 + 2 * (available++ % queue.registers.size), &head, 2);
		machine.write(DRIVER + 2, &available, 2);
	}
	void expect_broken(const char *why)
	{
		VirtqueueChain chain;

		assert_true(queue.take(chain) == Virtqueue::Take::broken);
		assert_non_null(strstr(queue.wrong(), why));
		assert_true(queue.take(chain) == Virtqueue::Take::broken);
		assert_false(queue.put(chain, 0));
	}
};

} // namespace

static void an_empty_ring_has_no_chain(void **)
{
	Bench b;
	VirtqueueChain chain;

	assert_true(b.queue.take(chain) == Virtqueue::Take::empty);
	assert_string_equal(b.queue.wrong(), "");
}

static void a_chain_is_split_into_what_is_read_and_what_is_written(void **)
{
	Bench b;
	VirtqueueChain chain;

	b.descriptor(3, 0x1000, 10, NEXT, 5);
	b.descriptor(5, 0x2000, 20, NEXT, 1);
	b.descriptor(1, 0x3000, 30, WRITE | NEXT, 0);
	b.descriptor(0, 0x4000, 40, WRITE);
	b.offer(3);
	assert_true(b.queue.take(chain) == Virtqueue::Take::chain);
	assert_int_equal(chain.head, 3);
	assert_int_equal(chain.readable.size(), 2);
	assert_int_equal(chain.writable.size(), 2);
	assert_int_equal(chain.readable_bytes(), 30);
	assert_int_equal(chain.writable_bytes(), 70);
	assert_int_equal(chain.readable[1].address, 0x2000);
	assert_int_equal(chain.writable[0].address, 0x3000);
	assert_true(b.queue.take(chain) == Virtqueue::Take::empty);
}

static void the_ring_goes_round_and_its_indices_wrap(void **)
{
	Bench b(4);
	VirtqueueChain chain;

	for (unsigned i = 0; i < 70000; i++) {
		b.descriptor(i % 4, 0x1000 + i, 1, 0);
		b.offer(i % 4);
		assert_true(b.queue.take(chain) == Virtqueue::Take::chain);
		assert_int_equal(chain.head, i % 4);
		assert_int_equal(chain.readable[0].address, 0x1000 + i);
		assert_true(b.queue.put(chain, i));
		assert_int_equal(b.machine.read32(DEVICE) >> 16, (i + 1) & 0xffff);
		assert_int_equal(b.machine.read32(DEVICE + 4 + 8 * (i % 4)), i % 4);
		assert_int_equal(b.machine.read32(DEVICE + 8 + 8 * (i % 4)), i);
	}
}

static void a_chain_may_be_as_long_as_the_queue(void **)
{
	Bench b;
	VirtqueueChain chain;

	for (unsigned i = 0; i < 8; i++)
		b.descriptor(i, 0x1000, 1, i < 7 ? NEXT : 0, i + 1);
	b.offer(0);
	assert_true(b.queue.take(chain) == Virtqueue::Take::chain);
	assert_int_equal(chain.readable.size(), 8);
}

static void a_loop_is_refused(void **)
{
	Bench b;

	b.descriptor(0, 0x1000, 1, NEXT, 1);
	b.descriptor(1, 0x1000, 1, NEXT, 0);
	b.offer(0);
	b.expect_broken("loop");
}

static void a_head_outside_the_table_is_refused(void **)
{
	Bench b;

	b.offer(8);
	b.expect_broken("outside the table");
}

static void a_next_outside_the_table_is_refused(void **)
{
	Bench b;

	b.descriptor(0, 0x1000, 1, NEXT, 8);
	b.offer(0);
	b.expect_broken("outside the table");
}

static void an_indirect_descriptor_is_refused(void **)
{
	Bench b;

	b.descriptor(0, 0x1000, 16, INDIRECT);
	b.offer(0);
	b.expect_broken("indirect");
}

static void a_readable_buffer_behind_a_writable_one_is_refused(void **)
{
	Bench b;

	b.descriptor(0, 0x1000, 1, WRITE | NEXT, 1);
	b.descriptor(1, 0x1000, 1, 0);
	b.offer(0);
	b.expect_broken("readable buffer follows");
}

static void a_chain_of_more_than_4_gib_is_refused(void **)
{
	Bench b;

	b.descriptor(0, 0x1000, 0xffffffff, NEXT, 1);
	b.descriptor(1, 0x1000, 2, 0);
	b.offer(0);
	b.expect_broken("4 GiB");
}

static void an_index_too_far_ahead_is_refused(void **)
{
	Bench b;
	uint16_t index = 9;

	b.machine.write(DRIVER + 2, &index, 2);
	b.expect_broken("ahead");
}

static void rings_out_of_reach_break_the_queue(void **)
{
	const uint64_t rings[] = { DRIVER, DESCRIPTORS };

	for (uint64_t ring : rings) {
		Bench b;

		b.descriptor(0, 0x1000, 1, 0);
		b.offer(0);
		b.blocked = ring;
		b.expect_broken("cannot be read");
	}
}

static void a_used_ring_out_of_reach_breaks_the_queue(void **)
{
	Bench b;
	VirtqueueChain chain;

	b.descriptor(0, 0x1000, 1, 0);
	b.offer(0);
	assert_true(b.queue.take(chain) == Virtqueue::Take::chain);
	b.blocked = DEVICE;
	assert_false(b.queue.put(chain, 0));
	assert_non_null(strstr(b.queue.wrong(), "used ring"));
}

static void sizes_and_alignments_are_checked(void **)
{
	const struct {
		uint16_t size;
		uint64_t descriptors, driver, device;
		bool good;
	} cases[] = {
		{ 8, 0x1000, 0x2002, 0x3004, true },  { 0, 0x1000, 0x2000, 0x3000, false },
		{ 6, 0x1000, 0x2000, 0x3000, false }, { 512, 0x1000, 0x2000, 0x3000, false },
		{ 8, 0x1008, 0x2000, 0x3000, false }, { 8, 0x1000, 0x2001, 0x3000, false },
		{ 8, 0x1000, 0x2000, 0x3002, false },
	};

	for (const auto &c : cases) {
		Bench b;

		b.queue.reset();
		assert_false(b.queue.registers.enabled);
		b.queue.registers.size = c.size;
		b.queue.registers.descriptors = c.descriptors;
		b.queue.registers.driver = c.driver;
		b.queue.registers.device = c.device;
		assert_int_equal(b.queue.enable(), c.good);
		assert_int_equal(b.queue.registers.enabled, c.good);
	}
}

static void the_driver_can_turn_interrupts_off(void **)
{
	Bench b;
	uint16_t flags = 1;

	assert_true(b.queue.interrupt_wanted());
	b.machine.write(DRIVER, &flags, 2);
	assert_false(b.queue.interrupt_wanted());
	assert_string_equal(b.queue.wrong(), "");
}

static void copies_cross_the_buffers_of_a_chain(void **)
{
	Bench b;
	VirtqueueChain chain;
	char text[8] = {};

	chain.readable = { { 0x1000, 3 }, { 0x5000, 0 }, { 0x2000, 4 } };
	chain.writable = { { 0x3000, 2 }, { 0x4000, 3 } };
	b.machine.write(0x1000, "abcX", 4);
	b.machine.write(0x2000, "defgX", 5);
	assert_true(b.queue.read(chain, 1, text, 5));
	assert_memory_equal(text, "bcdef", 5);
	assert_true(b.queue.read(chain, 7, text, 0));
	assert_false(b.queue.read(chain, 3, text, 5));
	assert_true(b.queue.write(chain, 1, "uvw", 3));
	b.machine.read(0x3001, text, 2);
	assert_memory_equal(text, "u\0", 2);
	b.machine.read(0x4000, text, 2);
	assert_memory_equal(text, "vw", 2);
	assert_false(b.queue.write(chain, 3, "xyz", 3));
	b.blocked = 0x2000;
	assert_false(b.queue.read(chain, 0, text, 5));
	assert_true(b.queue.read(chain, 0, text, 3));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_ring_has_no_chain),
		cmocka_unit_test(a_chain_is_split_into_what_is_read_and_what_is_written),
		cmocka_unit_test(the_ring_goes_round_and_its_indices_wrap),
		cmocka_unit_test(a_chain_may_be_as_long_as_the_queue),
		cmocka_unit_test(a_loop_is_refused),
		cmocka_unit_test(a_head_outside_the_table_is_refused),
		cmocka_unit_test(a_next_outside_the_table_is_refused),
		cmocka_unit_test(an_indirect_descriptor_is_refused),
		cmocka_unit_test(a_readable_buffer_behind_a_writable_one_is_refused),
		cmocka_unit_test(a_chain_of_more_than_4_gib_is_refused),
		cmocka_unit_test(an_index_too_far_ahead_is_refused),
		cmocka_unit_test(rings_out_of_reach_break_the_queue),
		cmocka_unit_test(a_used_ring_out_of_reach_breaks_the_queue),
		cmocka_unit_test(sizes_and_alignments_are_checked),
		cmocka_unit_test(the_driver_can_turn_interrupts_off),
		cmocka_unit_test(copies_cross_the_buffers_of_a_chain),
	};

	return cmocka_run_group_tests(tests, nullptr, nullptr);
}
