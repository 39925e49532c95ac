/* sources: */
/* NMIs of the chipset: counted, told by a timer, and not lost after the first. */
#include "test.h"

#include <kernel/core/clock.h>
#include <kernel/core/cpu.h>
#include <kernel/core/log.h>
#include <kernel/core/nmi.h>
#include <kernel/lib/string.h>
#include <kernel/x86/io.h>

static u8 port_b, serr_cleared, iochk_cleared;
static u32 reads;

static u8 test_inb(u16 port)
{
	assert_int_equal(port, 0x61);
	reads++;
	return port_b;
}

/* Switching a source off clears its bit. */
static void test_outb(u16 port, u8 value)
{
	assert_int_equal(port, 0x61);
	assert_int_equal(value & 0xf0, 0);
	assert_int_equal(value & 3, port_b & 3);
	if (value & 4 && port_b & 0x80) {
		port_b &= 0x7f;
		serr_cleared++;
	}
	if (value & 8 && port_b & 0x40) {
		port_b &= 0xbf;
		iochk_cleared++;
	}
	port_b = (u8)((port_b & 0xf0) | value);
}

static struct cpu here;

#define inb(port) test_inb(port)
#define outb(port, value) test_outb(port, value)
#define this_cpu() (&here)
#include <kernel/core/nmi.c>

static u32 lines;
static char last_line[256];

void log_print(enum log_level level, const char *fmt, ...)
{
	va_list ap;

	(void)level;
	lines++;
	va_start(ap, fmt);
	vsnprintf(last_line, sizeof(last_line), fmt, ap);
	va_end(ap);
}

static struct timer *armed;

void timer_init(struct timer *t, void (*fn)(struct timer *t))
{
	t->fn = fn;
}

void timer_set(struct timer *t, u64 ns)
{
	(void)ns;
	armed = t;
}

u64 clock_ns(void)
{
	return 0;
}

static void counted_and_told(void **state)
{
	(void)state;
	nmi_start(false);
	armed->fn(armed);
	assert_int_equal(lines, 0);
	port_b = 0x31 | 0x80; /* and a bit that Weir must not change */
	for (u32 i = 1; i <= 3; i++) {
		port_b |= 0x80;
		assert_false(nmi_take());
		assert_int_equal(serr_cleared, i);
		assert_int_equal(port_b & 0x0f, 1);
	}
	assert_int_equal(lines, 0);
	armed->fn(armed);
	armed->fn(armed);
	assert_int_equal(lines, 1);
	assert_non_null(strstr(last_line, "NMI: 3 so far"));
	assert_non_null(strstr(last_line, "SERR#"));
	/* Another CPU gets it too: it does not touch the chipset. */
	reads = 0;
	here.id = 1;
	assert_false(nmi_take());
	here.id = 0;
	assert_int_equal(reads, 0);
	port_b = 0x40;
	assert_false(nmi_take());
	assert_int_equal(iochk_cleared, 1);
	assert_non_null(strstr(nmi_reason(), "IOCHK#"));
	assert_false(nmi_take());
	assert_non_null(strstr(nmi_reason(), "button"));
	armed->fn(armed);
	assert_non_null(strstr(last_line, "NMI: 6 so far"));
	nmi_start(true);
	assert_true(nmi_take());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counted_and_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
