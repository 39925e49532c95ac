/* Included first by the fuzz targets. A target is one function that gets an input from libFuzzer
 * and fails like a unit test, by cmocka's assertions; outside a test these abort the program, and
 * libFuzzer keeps the input.
 *
 * `make fuzz T=NAME SECONDS=N` runs tests/fuzz/fuzz_NAME.c; CONTRIBUTING.md says how to add one. */
#pragma once

#include <tests/unit/test.h>

#include <kernel/lib/compiler.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	return setenv("CMOCKA_TEST_ABORT", "1", 1);
}

/* An input read as a program: each take() returns the next bytes, and zeros after the end. */
struct input {
	const u8 *p, *end;
};

static inline u64 take(struct input *in, unsigned int bytes)
{
	u64 v = 0;
	size_t n = MIN((size_t)(in->end - in->p), (size_t)bytes);

	if (n)
		memcpy(&v, in->p, n);
	in->p += n;
	return v;
}

static inline bool at_end(const struct input *in)
{
	return in->p == in->end;
}

/* A copy in an allocation of exactly its size, so that a read beyond it is detected; free() it. */
static inline u8 *exact_copy(const u8 *data, size_t size)
{
	u8 *copy = malloc(size ? size : 1);

	if (size)
		memcpy(copy, data, size);
	return copy;
}
