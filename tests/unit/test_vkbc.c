/* sources: kernel/guest/devices/legacy/vkbc.c */
/* A keyboard controller without a keyboard: its commands, its status, its interrupt, and the ways
 * to reset a guest. */
#include "test.h"

#include <kernel/guest/devices/legacy/legacy.h>
#include <kernel/guest/domain/domain.h>

#define FULL 0x01
#define SYSTEM 0x04
#define COMMAND 0x08
#define UNLOCKED 0x10
#define AUX 0x20
#define TIMEOUT 0x40

static struct bus_range ports[3];
static u32 nr_ports, resets;
static bool irq;
static struct domain d;
static struct legacy l = { .domain = &d };

int bus_add(struct bus *b, const struct bus_range *r)
{
	assert_ptr_equal(b, &d.vm.io);
	assert_true(nr_ports < ARRAY_SIZE(ports));
	ports[nr_ports++] = *r;
	return 0;
}

void legacy_set_irq(struct legacy *at, u32 line, bool level)
{
	assert_ptr_equal(at, &l);
	assert_locked(&l.lock);
	assert_int_equal(line, 1);
	irq = level;
}

void domain_reboot(struct domain *who, const char *why, u64 status)
{
	(void)why, (void)status;
	assert_ptr_equal(who, &d);
	spin_lock(&d.lock); /* as it does, which is no order with that of the chips held */
	spin_unlock(&d.lock);
	resets++;
}

static const struct bus_range *range(u16 port)
{
	for (u32 i = 0; i < nr_ports; i++)
		if (ports[i].first <= port && port <= ports[i].last)
			return &ports[i];
	fail_msg("port 0x%x has no range", port);
	return NULL;
}

static void out(u16 port, u8 value)
{
	const struct bus_range *r = range(port);

	assert_int_equal(r->write(r->ctx, NULL, port - r->first, 1, value), 0);
}

static u8 in(u16 port)
{
	const struct bus_range *r = range(port);
	u64 value = 0xff;

	assert_int_equal(r->read(r->ctx, NULL, port - r->first, 1, &value), 0);
	return (u8)value;
}

static u8 reply(u8 command)
{
	out(0x64, command);
	assert_int_equal(in(0x64) & (FULL | AUX | TIMEOUT), FULL);
	return in(0x60);
}

static void send(u8 command, u8 parameter)
{
	out(0x64, command);
	assert_true(in(0x64) & COMMAND);
	out(0x60, parameter);
	assert_false(in(0x64) & COMMAND);
}

static int start(void **state)
{
	(void)state;
	nr_ports = resets = 0;
	irq = false;
	spin_init(&l.lock, LOCK_LEGACY);
	spin_init(&d.lock, LOCK_DOMAIN);
	assert_int_equal(vkbc_add_ports(&l), 0);
	vkbc_reset(&l);
	return 0;
}

static void test_power_on(void **state)
{
	(void)state;
	assert_int_equal(in(0x64), SYSTEM | UNLOCKED);
	assert_int_equal(reply(0x20), 0x64);
	assert_int_equal(reply(0xd0), 0x03);
	assert_int_equal(in(0x92), 0x02);
	assert_int_equal(in(0x64) & FULL, 0);
	assert_false(irq);
}

static void test_self_tests(void **state)
{
	(void)state;
	send(0x60, 0x00);
	assert_int_equal(in(0x64) & SYSTEM, 0);
	assert_int_equal(reply(0xaa), 0x55);
	assert_true(in(0x64) & SYSTEM);
	assert_int_equal(reply(0x20), 0x34);
	assert_int_equal(reply(0xab), 1);
	assert_int_equal(reply(0xa9), 1);
	assert_int_equal(reply(0xc0), 0x80);
	assert_int_equal(reply(0xe0), 0x00);
}

static void test_memory(void **state)
{
	(void)state;
	for (u32 i = 0; i < 32; i++)
		send((u8)(0x60 + i), (u8)(0x80 + i));
	for (u32 i = 0; i < 32; i++)
		assert_int_equal(reply((u8)(0x20 + i)), 0x80 + i);
}

static void test_ports_are_switched(void **state)
{
	(void)state;
	send(0x60, 0x44);
	out(0x64, 0xad);
	assert_int_equal(reply(0x20), 0x54);
	out(0x64, 0xa7);
	assert_int_equal(reply(0x20), 0x74);
	out(0x64, 0xae);
	assert_int_equal(reply(0x20), 0x64);
	out(0x64, 0xa8);
	assert_int_equal(reply(0x20), 0x44);
	/* A byte for the keyboard enables it, too. */
	out(0x64, 0xad);
	out(0x60, 0xff);
	(void)in(0x60);
	assert_int_equal(reply(0x20), 0x44);
}

static void test_nothing_answers(void **state)
{
	(void)state;
	out(0x60, 0xf2);
	assert_int_equal(in(0x64) & (FULL | AUX | TIMEOUT), FULL | TIMEOUT);
	assert_int_equal(in(0x60), 0xfe);
	assert_int_equal(in(0x64) & (FULL | AUX | TIMEOUT), 0);
	send(0xd4, 0xff);
	assert_int_equal(in(0x64) & (FULL | AUX | TIMEOUT), FULL | AUX | TIMEOUT);
	assert_int_equal(in(0x60), 0xfe);
	assert_int_equal(in(0x64) & (FULL | AUX | TIMEOUT), 0);
	/* What is written to the output buffer comes back, never from the second port. */
	send(0xd2, 0xa5);
	assert_int_equal(in(0x64) & (FULL | AUX | TIMEOUT), FULL);
	assert_int_equal(in(0x60), 0xa5);
	send(0xd3, 0x5a);
	assert_int_equal(in(0x64) & (FULL | AUX | TIMEOUT), FULL);
	assert_int_equal(in(0x60), 0x5a);
}

static void test_the_interrupt(void **state)
{
	(void)state;
	out(0x60, 0xed);
	assert_false(irq);
	send(0x60, 0x45);
	assert_true(irq); /* the byte is still there */
	(void)in(0x64);
	assert_true(irq);
	(void)in(0x60);
	assert_false(irq);
	send(0xd2, 0x1c);
	assert_true(irq);
	send(0x60, 0x44);
	assert_false(irq);
}

static void test_resets(void **state)
{
	u32 expected = 0;

	(void)state;
	for (u32 command = 0; command < 0x100; command++) {
		out(0x64, (u8)command);
		expected += command >= 0xf0 && !(command & 1);
		assert_int_equal(resets, expected);
	}
	send(0xd1, 0xdf);
	assert_int_equal(resets, expected);
	send(0xd1, 0xde);
	assert_int_equal(resets, expected + 1);
	out(0x92, 0x02);
	assert_int_equal(resets, expected + 1);
	out(0x92, 0x03);
	assert_int_equal(resets, expected + 2);
}

/* It has no effect, but its state is one for all ways. */
static void test_the_gate_of_line_20(void **state)
{
	(void)state;
	out(0x64, 0xdd);
	assert_int_equal(reply(0xd0) & 2, 0);
	assert_int_equal(in(0x92), 0);
	out(0x64, 0xdf);
	assert_int_equal(reply(0xd0) & 2, 2);
	out(0x92, 0);
	assert_int_equal(reply(0xd0) & 2, 0);
	send(0xd1, 0xdf);
	assert_int_equal(in(0x92), 2);
	assert_int_equal(resets, 0);
}

/* A command takes the place of one that waits for its parameter. */
static void test_a_parameter_that_does_not_come(void **state)
{
	(void)state;
	out(0x64, 0x60);
	assert_int_equal(reply(0xaa), 0x55);
	out(0x60, 0x00);
	assert_int_equal(in(0x60), 0xfe);
	assert_int_equal(reply(0x20) & 0x44, 0x44);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_power_on, start),
		cmocka_unit_test_setup(test_self_tests, start),
		cmocka_unit_test_setup(test_memory, start),
		cmocka_unit_test_setup(test_ports_are_switched, start),
		cmocka_unit_test_setup(test_nothing_answers, start),
		cmocka_unit_test_setup(test_the_interrupt, start),
		cmocka_unit_test_setup(test_resets, start),
		cmocka_unit_test_setup(test_the_gate_of_line_20, start),
		cmocka_unit_test_setup(test_a_parameter_that_does_not_come, start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
