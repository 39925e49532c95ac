/* What lwIP and the runtime need of the C library: numbers and memory. */
#pragma once

#include <stddef.h>

int atoi(const char *s);
/* Decimal, or hexadecimal after "0x" when base is 0 or 16; *end (may be null) is the first
 * character not used. */
unsigned long strtoul(const char *s, char **end, int base);
void abort(void) __attribute__((noreturn));
