/* The IOMMU core: the program of tests/model, with the fuzzer's bytes instead of random numbers.
 * The first byte selects the hardware.
 *
 * The Makefile has the rule: the code under test is compiled for tests/model/interleave.c. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <kernel/core/log.h>
#include <kernel/core/panic.h>
#include <tests/model/program.h>
#include <tests/model/random.h>

#define MAX_STEPS 3000

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

static void __noreturn failed(const char *what, const char *fmt, va_list ap)
{
	fprintf(stderr, "%s: step %lu: ", what, program_step());
	vfprintf(stderr, fmt, ap);
	fprintf(stderr, "\nlast operations:\n");
	program_print_log();
	abort();
}

void vtd_fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	failed("FAILED", fmt, ap);
}

void panic(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	failed("PANIC", fmt, ap);
}

void log_print(enum log_level level, const char *fmt, ...)
{
	(void)level, (void)fmt;
}

bool log_allowed(struct log_limit *limit)
{
	(void)limit;
	return true;
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	if (size < 2)
		return 0;
	random_seed(0);
	random_script = data + 1;
	random_script_end = data + size;
	program_run(&model_configs[data[0] % MODEL_CONFIGS], MAX_STEPS);
	random_script = random_script_end = NULL;
	return 0;
}
