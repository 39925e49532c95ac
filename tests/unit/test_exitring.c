/* The ring of the last exits: what it keeps, and what of it is printed.
 * sources: kernel/guest/vcpu/exitring.c
 */
#include <tests/unit/test.h>

#include <kernel/core/clock.h>
#include <kernel/core/log.h>
#include <kernel/core/panic.h>
#include <kernel/guest/vcpu/exitring.h>
#include <kernel/mm/alloc.h>

#include <asm/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ONE exit_ring_vcpu(7, 0)
#define OTHER exit_ring_vcpu(7, 1)

static struct cpu cpu;
static char page[PAGE_SIZE] __aligned(PAGE_SIZE);
static u64 rips[2 * EXIT_RING_SIZE];
static u32 nr_lines, nr_headings;

void *alloc_page(void)
{
	memset(page, 0, sizeof(page));
	return page;
}

void panic_set_hook(void (*hook)(void))
{
	assert_ptr_equal(hook, exit_ring_dump);
}

u64 clock_ns(void)
{
	return 0;
}

u64 clock_tsc_hz(void)
{
	return 1000000000;
}

void log_print(enum log_level level, const char *fmt, ...)
{
	va_list ap;

	assert_int_equal(level, LOG_ERR);
	if (!strstr(fmt, "rip")) {
		nr_headings++;
		return;
	}
	va_start(ap, fmt);
	(void)va_arg(ap, u64); /* us ago */
	(void)va_arg(ap, u32); /* domain */
	(void)va_arg(ap, u32); /* vCPU */
	(void)va_arg(ap, const char *); /* the reason's name */
	(void)va_arg(ap, u32);
	rips[nr_lines++] = va_arg(ap, u64);
	va_end(ap);
}

static void start(void)
{
	cpu.self = &cpu;
	cpu.exits = NULL;
	assert_int_equal(syscall(SYS_arch_prctl, ARCH_SET_GS, &cpu), 0);
	nr_lines = nr_headings = 0;
	exit_ring_dump(); /* before it is there */
	assert_int_equal(exit_ring_init(), 0);
	exit_ring_dump(); /* empty */
	assert_int_equal(nr_lines + nr_headings, 0);
}

static void the_newest_are_kept(void **state)
{
	(void)state;
	start();
	for (u64 rip = 1; rip <= 3 * EXIT_RING_SIZE + 5; rip++) {
		exit_ring_record(ONE, 0x72, rip, 0, 0);
		nr_lines = nr_headings = 0;
		exit_ring_dump();
		assert_int_equal(nr_headings, 1);
		assert_int_equal(nr_lines, MIN(rip, EXIT_RING_SIZE));
		for (u32 i = 0; i < nr_lines; i++)
			assert_int_equal(rips[i], rip - i);
	}
}

static void those_of_one_vcpu_are_printed(void **state)
{
	(void)state;
	start();
	for (u64 rip = 1; rip <= 100; rip++)
		exit_ring_record(rip % 4 ? OTHER : ONE, 0x72, rip, 0, 0);
	exit_ring_print(ONE, 8);
	assert_int_equal(nr_lines, 8);
	for (u32 i = 0; i < nr_lines; i++)
		assert_int_equal(rips[i], 100 - 4 * i);
	nr_lines = nr_headings = 0;
	exit_ring_print(exit_ring_vcpu(8, 0), 8);
	assert_int_equal(nr_lines + nr_headings, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_newest_are_kept),
		cmocka_unit_test(those_of_one_vcpu_are_printed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
