/* What most unit tests begin with: cmocka, a seed that is printed, and panic() as something that a
 * test can expect. */
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

/* Ends a test that did not expect it, and satisfies expect_panic() in one that did. */
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
	unsigned int seed = given ? (unsigned int)strtoul(given, NULL, 0) : (unsigned int)time(NULL);

	printf("SEED=%u\n", seed);
	return seed;
}
