/* sources: boot/options.c kernel/lib/pci_id.c */
/* Weir's command line: each word, their order, and that an invalid word is reported and changes
 * nothing. */
#include "test.h"

#include <kernel/core/uart.h>
#include <kernel/core/debugexit.h>
#include <boot/options.h>

static struct options defaults;
static char last_warning[512];
static int warnings;

void log_print(enum log_level level, const char *fmt, ...)
{
	va_list ap;

	assert_int_equal(level, LOG_WARN);
	va_start(ap, fmt);
	vsnprintf(last_warning, sizeof(last_warning), fmt, ap);
	va_end(ap);
	warnings++;
}

static int setup(void **state)
{
	(void)state;
	options = defaults;
	warnings = 0;
	return 0;
}

static void test_words(void **state)
{
	(void)state;
	options_parse(
		"console=com2 loglevel=debug iommu=off control-iommu=relaxed maxcpus=3 "
		"irq-limit=0 x2apic=off exit=idle panic=test mitigations=off nmi=panic smt=off");
	assert_int_equal(warnings, 0);
	assert_int_equal(options.console, UART_COM2);
	assert_int_equal(options.loglevel, LOG_DEBUG);
	assert_true(options.iommu_off);
	assert_int_equal(options.build.control_iommu, IDENTITY_RELAXED);
	assert_int_equal(options.cpus.max, 3);
	assert_int_equal(options.irq_limit, 0);
	assert_true(options.x2apic_off);
	assert_true(options.mitigations_off);
	assert_true(options.cpus.one_thread);
	assert_true(options.nmi_panics);
	assert_int_equal(options.exit_at, DEBUG_EXIT_IDLE);
	assert_true(options.panic_test);
}

static void test_last_one_holds(void **state)
{
	(void)state;
	options_parse("  iommu=off\tiommu=nointremap   iommu=on iommu=nointremap "
		      "console=none console=com1 exit=ready exit=never  ");
	assert_int_equal(warnings, 0);
	assert_false(options.iommu_off);
	assert_true(options.no_intremap);
	assert_int_equal(options.console, UART_COM1);
	assert_int_equal(options.exit_at, 0);
	options_parse("iommu=off iommu=nointremap");
	assert_false(options.iommu_off);
	assert_true(options.no_intremap);
	options_parse("iommu=nointremap iommu=off");
	assert_true(options.iommu_off);
	assert_false(options.no_intremap);
	options_parse("irq-limit=100 irq-limit=10000000");
	assert_int_equal(options.irq_limit, 10000000);
	/* Per device; there are four. */
	options_parse("sriov=01:00.0,2 sriov=0001:02:00.1,64 sriov=01:00.0,7 sriov=03:00.0,1 "
		      "sriov=04:00.0,1");
	assert_int_equal(warnings, 0);
	assert_int_equal(options.sriov[0].device.bdf, 0x100);
	assert_int_equal(options.sriov[0].nr, 7);
	assert_int_equal(options.sriov[1].device.segment, 1);
	assert_int_equal(options.sriov[1].device.bdf, 0x201);
	assert_int_equal(options.sriov[1].nr, 64);
	assert_int_equal(options.sriov[3].device.bdf, 0x400);
	options_parse("sriov=05:00.0,1");
	assert_int_equal(warnings, 1);
	warnings = 0;
	options_parse("");
	options_parse("   ");
	assert_int_equal(warnings, 0);
}

/* As kexec passes it. Only the first word, and no word of Weir's. */
static void test_file_name(void **state)
{
	(void)state;
	options_parse("/boot/weir.elf maxcpus=2");
	assert_int_equal(warnings, 0);
	assert_int_equal(options.cpus.max, 2);
	options_parse("maxcpus=2 /boot/weir.elf");
	assert_int_equal(warnings, 1);
	options_parse("foo=/boot");
	assert_int_equal(warnings, 2);
}

static void test_wrong_words(void **state)
{
	static const char *const wrong[] = {
		"foo",
		"iommu",
		"iommu=",
		"iommu=onn",
		"iommux=on",
		"iomm=on",
		"=",
		"=on",
		"smt=",
		"smt=auto",
		"maxcpus=0",
		"maxcpus=x",
		"maxcpus=257",
		"maxcpus=4294967297",
		"maxcpus=1x",
		"maxcpus=",
		"console=x",
		"loglevel=",
		"panic=",
		"loglevel=Info",
		"exit=now",
		"x2apic=maybe",
		"mitigations=auto",
		"sriov=",
		"sriov=01:00.0",
		"sriov=01:00.0,",
		"sriov=01:00.0,0",
		"sriov=01:00.0,65",
		"sriov=01:00.8,1",
		"sriov=1:00.0,1",
		"irq-limit=99",
		"irq-limit=10000001",
		"irq-limit=",
		"irq-limit=18446744073709551716",
	};

	static struct options before;

	/* With the defaults before it, and with the opposite of them. */
	for (u32 i = 0; i < 2 * ARRAY_SIZE(wrong); i++) {
		setup(state);
		if (i % 2)
			options_parse("console=none loglevel=error iommu=nointremap maxcpus=2 "
				      "x2apic=off exit=ready panic=test");
		before = options;
		options_parse(wrong[i / 2]);
		assert_int_equal(warnings, 1);
		assert_non_null(strstr(last_warning, wrong[i / 2]));
		assert_memory_equal(&options, &before, sizeof(options));
	}
}

static void test_long_word(void **state)
{
	char line[1000];

	(void)state;
	memset(line, 'a', sizeof(line));
	line[sizeof(line) - 1] = 0;
	memcpy(line + sizeof(line) - 11, " iommu=off", 10);
	options_parse(line);
	assert_int_equal(warnings, 1);
	assert_true(options.iommu_off);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_words, setup),
		cmocka_unit_test_setup(test_last_one_holds, setup),
		cmocka_unit_test_setup(test_file_name, setup),
		cmocka_unit_test_setup(test_wrong_words, setup),
		cmocka_unit_test_setup(test_long_word, setup),
	};

	defaults = options;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
