/* sources: userland/drivers/virtqueue.c */
/* The driver's side of a split virtqueue against a device that takes chains when it likes and
 * returns them in any order: nothing is lost, nothing is returned twice, and no buffer is reused
 * while the device has it. A device that returns invalid entries or overwrites the descriptors may
 * break the queue, but never the driver's memory. */
#include "test.h"

#include <userland/drivers/virtqueue.h>

#define ROUNDS 200000
#define MAX_CHAIN 17

static struct virtqueue_memory memory;
static struct virtqueue queue;

/* --- a device ------------------------------------------------------------- */

static u16 seen; /* of avail.index */
static u16 held[VIRTQUEUE_MAX]; /* heads */
static u32 nr_held;

/* Buffers are numbers here: the address is the buffer's number, the length its place in the
 * chain. */
static u64 token_at(u16 head, u32 *length)
{
	u64 first = memory.desc[head].address;
	u16 at = head;

	*length = 1;
	assert_true(head < queue.size);
	while (memory.desc[at].flags & VRING_DESC_NEXT) {
		at = memory.desc[at].next;
		assert_true(at < queue.size && *length < queue.size);
		assert_int_equal(memory.desc[at].address, first);
		assert_int_equal(memory.desc[at].length, ++*length);
	}
	return first;
}

static void device_fetch(void)
{
	for (; seen != memory.avail.index; seen++) {
		assert_true(nr_held < queue.size);
		held[nr_held++] = memory.avail.ring[seen % queue.size];
	}
}

static void device_give_back(u32 id, u32 length)
{
	u16 index = memory.used.index;

	memory.used.ring[index % queue.size].id = id;
	memory.used.ring[index % queue.size].length = length;
	memory.used.index = (u16)(index + 1);
}

static void device_finish_any(void)
{
	u32 i = (u32)rand() % nr_held, length;
	u16 head = held[i];
	u64 token = token_at(head, &length);

	held[i] = held[--nr_held];
	device_give_back(head, (u32)token ^ length);
}

static void begin(u16 size)
{
	memset(&memory, 0xa5, sizeof(memory));
	virtqueue_init(&queue, &memory, size);
	seen = 0;
	nr_held = 0;
	assert_int_equal(memory.avail.index, 0);
	assert_int_equal(memory.used.index, 0);
}

static bool add(u64 token, u32 n, bool device_writes)
{
	struct virtqueue_buffer chain[MAX_CHAIN];

	for (u32 i = 0; i < n; i++)
		chain[i] = (struct virtqueue_buffer){ (const void *)token, i + 1 };
	return virtqueue_add(&queue, chain, n, device_writes, (void *)token);
}

/* --- the tests ------------------------------------------------------------ */

static void any_order_and_any_pace(void **state)
{
	static u32 outstanding[ROUNDS + 1]; /* descriptors of each token in progress */
	u32 used = 0, taken = 0, added = 0, refused = 0, length;
	void *token;
	bool news;

	(void)state;
	begin(64);
	memset(outstanding, 0, sizeof(outstanding));
	for (u32 round = 1; round <= ROUNDS; round++) {
		u32 n = 1 + (u32)rand() % MAX_CHAIN;

		switch (rand() % 4) {
		case 0:
			if (add(round, n, rand() % 2)) {
				outstanding[round] = n;
				used += n;
				added++;
			} else {
				assert_true(used + n > queue.size);
				refused++;
			}
			break;
		case 1:
			news = queue.avail_next != seen;
			assert_int_equal(virtqueue_publish(&queue), news);
			device_fetch();
			break;
		case 2:
			if (nr_held)
				device_finish_any();
			break;
		case 3:
			if (virtqueue_take(&queue, &token, &length)) {
				u32 *slot = &outstanding[(u64)token];

				assert_true(*slot);
				assert_int_equal(length, (u32)(u64)token ^ *slot);
				used -= *slot;
				*slot = 0;
				taken++;
			} else {
				assert_int_equal((u16)taken, memory.used.index);
			}
			break;
		}
		assert_int_equal(queue.free, queue.size - used);
	}
	assert_false(queue.broken);
	assert_true(taken > 1000 && refused > 1000 && added - taken <= queue.size);
}

static void what_was_not_published_is_not_seen(void **state)
{
	(void)state;
	begin(8);
	assert_false(virtqueue_publish(&queue));
	assert_true(add(1, 3, false) && add(2, 5, true));
	assert_false(add(3, 1, true));
	assert_int_equal(memory.avail.index, 0);
	memory.used.flags = VRING_USED_NO_NOTIFY;
	assert_false(virtqueue_publish(&queue));
	assert_int_equal(memory.avail.index, 2);
	memory.used.flags = 0;
	assert_false(virtqueue_publish(&queue)); /* nothing new */
	for (u16 at = memory.avail.ring[0], i = 0; i < 3; i++, at = memory.desc[at].next)
		assert_false(memory.desc[at].flags & VRING_DESC_WRITE);
	for (u16 at = memory.avail.ring[1], i = 0; i < 5; i++, at = memory.desc[at].next)
		assert_true(memory.desc[at].flags & VRING_DESC_WRITE);
}

static void interrupts_are_not_lost(void **state)
{
	void *token;
	u32 length;

	(void)state;
	begin(8);
	assert_false(virtqueue_interrupts(&queue, false));
	assert_int_equal(memory.avail.flags, VRING_AVAIL_NO_INTERRUPT);
	assert_true(add(1, 1, false));
	assert_true(virtqueue_publish(&queue));
	assert_false(virtqueue_interrupts(&queue, true));
	assert_int_equal(memory.avail.flags, 0);
	(void)virtqueue_interrupts(&queue, false);
	device_fetch();
	device_finish_any();
	assert_true(virtqueue_interrupts(&queue, true));
	assert_true(virtqueue_take(&queue, &token, &length));
	assert_false(virtqueue_interrupts(&queue, true));
}

static void broken_by(u32 id, u16 index)
{
	void *token = NULL;
	u32 length;

	begin(8);
	assert_true(add(1, 2, true) && add(2, 2, true));
	assert_true(virtqueue_publish(&queue));
	device_fetch();
	memory.used.ring[0].id = id;
	memory.used.index = index;
	assert_false(virtqueue_take(&queue, &token, &length));
	assert_true(queue.broken);
	/* Permanently, and no interrupt is wanted any more. */
	memory.used.index = 0;
	device_give_back(held[0], 1);
	assert_false(virtqueue_take(&queue, &token, &length));
	assert_false(virtqueue_interrupts(&queue, true));
	assert_null(token);
	assert_int_equal(queue.free, 4);
}

static void lies_break_the_queue(void **state)
{
	void *token;
	u32 length;

	(void)state;
	broken_by(8, 1); /* no such descriptor */
	broken_by(0xffff0000, 1);
	broken_by(7, 1); /* a free descriptor */
	broken_by(1, 1); /* in the middle of a chain */
	broken_by(0, 9); /* more than there are */
	broken_by(0, 0xffff);

	begin(8); /* the same one twice */
	assert_true(add(1, 2, true));
	assert_true(virtqueue_publish(&queue));
	device_give_back(memory.avail.ring[0], 1);
	device_give_back(memory.avail.ring[0], 1);
	assert_true(virtqueue_take(&queue, &token, &length));
	assert_false(virtqueue_take(&queue, &token, &length));
	assert_true(queue.broken);
}

/* The device can write to the descriptors. */
static void scribbled_descriptors_do_no_harm(void **state)
{
	void *token;
	u32 length;

	(void)state;
	begin(16);
	for (u32 round = 0; round < 1000; round++) {
		assert_true(add(1, 5, false) && add(2, 11, true));
		assert_true(virtqueue_publish(&queue));
		device_fetch();
		memset(memory.desc, rand(), sizeof(memory.desc));
		while (nr_held)
			device_give_back(held[--nr_held], 0);
		assert_true(virtqueue_take(&queue, &token, &length) && (u64)token == 2);
		assert_true(virtqueue_take(&queue, &token, &length) && (u64)token == 1);
		assert_int_equal(queue.free, 16);
	}
}

static void a_reset_gives_all_back(void **state)
{
	u64 sum = 0;
	void *token;

	(void)state;
	begin(16);
	assert_true(add(1, 5, false) && add(2, 3, true) && add(4, 8, true));
	assert_true(virtqueue_publish(&queue));
	device_fetch();
	while ((token = virtqueue_drop(&queue)))
		sum += (u64)token;
	assert_int_equal(sum, 7);
	assert_int_equal(queue.free, 16);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_order_and_any_pace),
		cmocka_unit_test(what_was_not_published_is_not_seen),
		cmocka_unit_test(interrupts_are_not_lost),
		cmocka_unit_test(lies_break_the_queue),
		cmocka_unit_test(scribbled_descriptors_do_no_harm),
		cmocka_unit_test(a_reset_gives_all_back),
	};

	srand(test_seed());
	return cmocka_run_group_tests(tests, NULL, NULL);
}
