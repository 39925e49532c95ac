/* Included first by most unit tests: cmocka, a seed that is printed, and a panic() that a test can
 * expect. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include <kernel/core/panic.h>

/* Fails a test that did not expect it; a test expects it with expect_panic(). */
void panic(const char *fmt, ...)
{
	static char message[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	mock_assert(0, message, __FILE__, __LINE__);
	abort();
}

#define expect_panic(call) expect_assert_failure(call)

/* A seed for rand(): SEED=N in the environment repeats a run. */
static inline unsigned int test_seed(void)
{
	const char *given = getenv("SEED");
	unsigned long chosen = given ? strtoul(given, NULL, 0) : (unsigned long)time(NULL);
	unsigned int seed = (unsigned int)chosen;

	printf("SEED=%u\n", seed);
	return seed;
}
