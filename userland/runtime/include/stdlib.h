/* The part of the C library that lwIP and the guests use: numbers. */
#pragma once

#include <stddef.h>

int atoi(const char *s);
/* base: 10, 16, or 0 (hexadecimal after "0x", otherwise decimal). *end, unless it is NULL, is set
 * to the first character that was not used. */
unsigned long strtoul(const char *s, char **end, int base);
