/* The balloon with a driver that follows the standard, and with drivers that do not.
 *
 * sources: $(BALLOON_SRCS)
 */
#include <tests/unit/balloon_machine.h>

#define COMMON(field) (BAR + offsetof(struct virtio_common, field))
#define DEVICE (BAR + 0x200)
#define NOTIFY(queue) (BAR + 0x300 + 4 * (queue))
#define MSIX(entry) (BAR + 0x400 + 16 * (entry))
#define READY (STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK | STATUS_DRIVER_OK)

/* The driver's queues are in these pages, which it never gives back. */
#define DESC(q) (0x1000u + 0x3000 * (q))
#define AVAIL(q) (0x2000u + 0x3000 * (q))
#define USED(q) (0x3000u + 0x3000 * (q))
#define LIST 0x8000u /* of pages */

static u16 sent[2];

static void put(u64 gpa, unsigned int size, u64 value)
{
	memcpy(frame_at(gpa) + (gpa & 4095), &value, size);
}

static u64 get(u64 gpa, unsigned int size)
{
	u64 value = 0;

	memcpy(&value, frame_at(gpa) + (gpa & 4095), size);
	return value;
}

static void set_up_queue(u16 q)
{
	bar_write(COMMON(queue_select), 2, q, 1);
	assert_int_equal(bar_read(COMMON(queue_size), 2), 128);
	bar_write(COMMON(queue_size), 2, 4, 1);
	bar_write(COMMON(queue_msix_vector), 2, 1u + q, 1);
	bar_write(COMMON(queue_desc[0]), 4, DESC(q), 1);
	bar_write(COMMON(queue_desc[1]), 4, 0, 1);
	bar_write(COMMON(queue_driver[0]), 8, AVAIL(q), 1); /* at once */
	bar_write(COMMON(queue_device[0]), 4, USED(q), 1);
	bar_write(COMMON(queue_enable), 2, 1, 1);
	assert_int_equal(bar_read(COMMON(queue_enable), 2), 1);
	sent[q] = 0;
}

static void start(void)
{
	machine_start();
	config_write(0x04, 2);
	config_write(0x40 + 4 * 32, 1u << 31); /* MSI-X on */
	for (u32 i = 0; i < 3; i++) {
		bar_write(MSIX(i), 8, 0xfee00000, 1);
		bar_write(MSIX(i) + 8, 4, 0x40 + i, 1);
		bar_write(MSIX(i) + 12, 4, 0, 1);
	}
	bar_write(COMMON(device_status), 1, STATUS_ACKNOWLEDGE | STATUS_DRIVER, 1);
	bar_write(COMMON(driver_feature_select), 4, 1, 1);
	bar_write(COMMON(driver_feature), 4, 1, 1); /* VERSION_1 */
	bar_write(COMMON(device_status), 1, READY & ~STATUS_DRIVER_OK, 1);
	assert_true(bar_read(COMMON(device_status), 1) & STATUS_FEATURES_OK);
	bar_write(COMMON(config_msix_vector), 2, 0, 1);
	set_up_queue(0);
	set_up_queue(1);
	bar_write(COMMON(device_status), 1, READY, 1);
}

/* Makes the chain available that begins with this descriptor. */
static void make_available(u32 q, u16 head)
{
	put(AVAIL(q) + 4 + 2 * (sent[q] % 4), 2, head);
	put(AVAIL(q) + 2, 2, ++sent[q]);
}

static void describe(u32 q, u16 at, u64 address, u32 length, u16 flags, u16 next)
{
	put(DESC(q) + 16u * at, 8, address);
	put(DESC(q) + 16u * at + 8, 4, length);
	put(DESC(q) + 16u * at + 12, 2, flags);
	put(DESC(q) + 16u * at + 14, 2, next);
}

static void send_list(u32 q, const u32 *page, u32 nr)
{
	for (u32 i = 0; i < nr; i++)
		put(LIST + 4 * i, 4, page[i]);
	describe(q, 1, LIST, 4 * nr, 0, 0);
	make_available(q, 1);
}

static bool is_dead(void)
{
	return bar_read(COMMON(device_status), 1) & STATUS_NEEDS_RESET;
}

static void what_a_driver_finds(void **state)
{
	u32 cap, seen = 0;

	(void)state;
	machine_start();
	assert_int_equal(config_read(0x00), 0x10451af4);
	assert_int_equal(config_read(0x08), 0x00ff0001);
	assert_true(config_read(0x04) >> 16 & 0x10);
	for (cap = config_read(0x34); cap; cap = config_read((u8)cap) >> 8 & 0xff)
		seen |= (config_read((u8)cap) & 0xff) == PCI_CAP_VENDOR ?
				1u << (config_read((u8)cap) >> 24) :
				1u << 16;
	assert_int_equal(seen, 1u << 16 | 1u << 1 | 1u << 2 | 1u << 3 | 1u << 4);

	/* The BAR's size, and where it may be. */
	assert_int_equal(config_read(0x10), BAR);
	config_write(0x10, ~0u);
	assert_int_equal(config_read(0x10), 0xfffff000);
	config_write(0x04, 2);
	assert_int_equal(dom.vm.mmio.nr, 0);
	config_write(0x10, 0xe0000000);
	assert_int_equal(bar_read(0xe0000000 + offsetof(struct virtio_common, num_queues), 2), 2);
	config_write(0x10, (u32)VPCI_WINDOW_END);
	assert_int_equal(dom.vm.mmio.nr, 0);
	config_write(0x10, BAR);
	assert_int_equal(dom.vm.mmio.nr, 1);
	config_write(0x04, 0);
	assert_int_equal(dom.vm.mmio.nr, 0);
	machine_stop();
}

static void features_are_negotiated(void **state)
{
	(void)state;
	machine_start();
	config_write(0x04, 2);
	bar_write(COMMON(device_feature_select), 4, 0, 1);
	assert_int_equal(bar_read(COMMON(device_feature), 4), 1); /* MUST_TELL_HOST */
	bar_write(COMMON(device_feature_select), 4, 1, 1);
	assert_int_equal(bar_read(COMMON(device_feature), 4), 1);
	bar_write(COMMON(device_feature_select), 4, 2, 1);
	assert_int_equal(bar_read(COMMON(device_feature), 4), 0);
	/* A legacy driver, and one that asks for a feature that is not offered, get no further. */
	bar_write(COMMON(device_status), 1, READY, 1);
	assert_int_equal(bar_read(COMMON(device_status), 1), STATUS_ACKNOWLEDGE | STATUS_DRIVER);
	bar_write(COMMON(driver_feature), 4, 1 << 5, 1);
	bar_write(COMMON(driver_feature_select), 4, 1, 1);
	bar_write(COMMON(driver_feature), 4, 1, 1);
	bar_write(COMMON(device_status), 1, READY, 1);
	assert_int_equal(bar_read(COMMON(device_status), 1), STATUS_ACKNOWLEDGE | STATUS_DRIVER);
	assert_int_equal(vballoon_ask(&dom, 1), -ENODEV);
	machine_stop();
}

static void gives_and_takes(void **state)
{
	static const u32 mixed[] = { 40, 41, 42, 50, 33, 32, 31, 60 };
	u64 asked, given;

	(void)state;
	start();
	assert_int_equal(vballoon_ask(&dom, FRAMES), -EINVAL);
	assert_int_equal(vballoon_ask(&dom, 8), 0);
	assert_int_equal(messages, 1);
	assert_int_equal(last_data, 0x40);
	assert_int_equal(bar_read(DEVICE, 4), 8);
	send_list(0, mixed, ARRAY_SIZE(mixed));
	assert_in_range(bar_write(NOTIFY(0), 2, 0, 100), 4, 20);
	for (u32 i = 0; i < ARRAY_SIZE(mixed); i++)
		assert_false(has[mixed[i]]);
	assert_int_equal(dom.vm.memory.pages_owned, FRAMES - 8);
	assert_int_equal(get(USED(0) + 2, 2), 1);
	assert_int_equal(get(USED(0) + 4, 4), 1);
	assert_int_equal(messages, 2);
	assert_int_equal(last_data, 0x41);
	bar_write(DEVICE + 4, 4, 8, 1);
	assert_true(vballoon_pages(&dom, &asked, &given));
	assert_int_equal(asked, 8);
	assert_int_equal(given, 8);

	/* Not more than the machine has. */
	machine_free = 3;
	assert_int_equal(vballoon_ask(&dom, 0), -ENOMEM);
	machine_free = 8;
	assert_int_equal(vballoon_ask(&dom, 0), 0);
	put(AVAIL(1), 2, 1); /* NO_INTERRUPT */
	send_list(1, mixed, ARRAY_SIZE(mixed));
	bar_write(NOTIFY(1), 2, 1, 100);
	assert_int_equal(get(USED(1) + 2, 2), 1);
	assert_int_equal(messages, 3);
	machine_stop();
}

/* The driver's notification waits, with its vCPU parked or not, and no page of the list is
 * processed twice or skipped. */
static void waits(void **state)
{
	static const u32 page[] = { 40, 50 };

	(void)state;
	start();
	move_says = -EAGAIN;
	send_list(0, page, 2);
	assert_int_equal(bar_write(NOTIFY(0), 2, 0, 10), 10);
	assert_in_range(parked, 1, 10);
	move_says = 0;
	bar_write(NOTIFY(0), 2, 0, 100);
	assert_int_equal(machine_free, 2);
	parked = 0;
	machine_free = 1;
	send_list(1, page, 2);
	assert_int_equal(bar_write(NOTIFY(1), 2, 1, 50), 50);
	assert_int_equal(parked, 0);
	assert_int_equal(get(USED(1) + 2, 2), 0);
	machine_free = 1;
	bar_write(NOTIFY(1), 2, 1, 100);
	assert_int_equal(get(USED(1) + 2, 2), 1);
	assert_true(has[40] && has[50]);
	assert_false(is_dead());
	machine_stop();
}

static void masked_interrupts_wait(void **state)
{
	(void)state;
	start();
	bar_write(MSIX(0) + 12, 4, 1, 1);
	assert_int_equal(vballoon_ask(&dom, 1), 0);
	assert_int_equal(messages, 0);
	assert_int_equal(bar_read(BAR + 0x800, 8), 1);
	bar_write(MSIX(0) + 12, 4, 0, 1);
	assert_int_equal(messages, 1);
	assert_int_equal(bar_read(BAR + 0x800, 8), 0);
	config_write(0x40 + 4 * 32, 3u << 30);
	assert_int_equal(vballoon_ask(&dom, 2), 0);
	assert_int_equal(messages, 1);
	config_write(0x40 + 4 * 32, 1u << 31);
	assert_int_equal(messages, 2);
	machine_stop();
}

/* Pages that are not the guest's memory, and partial pages, are skipped. */
static void foreign_pages(void **state)
{
	static const u32 page[] = { 0xffffffff, FRAMES, 0x80000000, 40, 40 };

	(void)state;
	start();
	send_list(0, page, ARRAY_SIZE(page));
	describe(0, 1, LIST, 4 * ARRAY_SIZE(page) + 3, 0, 0);
	bar_write(NOTIFY(0), 2, 0, 100);
	assert_int_equal(machine_free, 1);
	assert_int_equal(get(USED(0) + 2, 2), 1);
	assert_false(is_dead());
	machine_stop();
}

/* Each of these drivers violates the standard: the device stops, and works again after a reset. */
static void wrong_drivers(void **state)
{
	(void)state;
	for (u32 what = 0; what < 8; what++) {
		start();
		describe(0, 1, LIST, 4, 0, 0);
		put(LIST, 4, 40);
		switch (what) {
		case 0: /* more entries are available than the queue has */
			sent[0] = 100;
			make_available(0, 1);
			break;
		case 1: /* a head index beyond the queue */
			make_available(0, 4);
			break;
		case 2: /* a next descriptor beyond it */
			describe(0, 1, LIST, 4, 1, 4);
			make_available(0, 1);
			break;
		case 3: /* a chain without end */
			describe(0, 1, LIST, 0, 1, 1);
			make_available(0, 1);
			break;
		case 4: /* a buffer outside memory */
			describe(0, 1, 1UL << 40, 4, 0, 0);
			make_available(0, 1);
			break;
		case 5: /* a buffer that wraps around the address space */
			describe(0, 1, ~0UL, 64, 0, 0);
			make_available(0, 1);
			break;
		case 6: /* the used ring is in a page that this request gives back */
			put(LIST, 4, USED(0) >> 12);
			make_available(0, 1);
			break;
		default: /* the driver writes the device's index */
			put(USED(0) + 2, 2, 7);
			make_available(0, 1);
		}
		messages = 0;
		assert_in_range(bar_write(NOTIFY(0), 2, 0, 1000), 1, 999);
		assert_true(is_dead());
		assert_int_equal(messages, 1);
		assert_int_equal(bar_write(NOTIFY(0), 2, 0, 10), 1);
		assert_int_equal(vballoon_ask(&dom, 1), -ENODEV);
		bar_write(COMMON(device_status), 1, 0, 1);
		assert_int_equal(bar_read(COMMON(device_status), 1), 0);
		machine_stop();
	}
}

static void power_on_forgets(void **state)
{
	u64 asked, given;

	(void)state;
	start();
	assert_int_equal(vballoon_ask(&dom, 9), 0);
	bar_write(DEVICE + 4, 4, 9, 1);
	vballoon_power_on(&dom);
	assert_int_equal(dom.vm.mmio.nr, 0);
	assert_true(vballoon_pages(&dom, &asked, &given));
	assert_int_equal(asked + given, 0);
	assert_int_equal(config_read(0x10), BAR);
	machine_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_driver_finds),	  cmocka_unit_test(features_are_negotiated),
		cmocka_unit_test(gives_and_takes),	  cmocka_unit_test(waits),
		cmocka_unit_test(masked_interrupts_wait), cmocka_unit_test(foreign_pages),
		cmocka_unit_test(wrong_drivers),	  cmocka_unit_test(power_on_forgets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
