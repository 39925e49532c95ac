/* C's stdlib.h, as far as the guests need it. */
#pragma once

#include <stddef.h>

/* Decimal, hexadecimal (0x) or octal digits; base 0, 8, 10 or 16. No overflow check, no sign. */
unsigned long strtoul(const char *text, char **end, int base);
int atoi(const char *text);
