/* The checksum of firmware tables (ACPI 5.2.6; MultiProcessor Specification 4.1): all bytes of a
 * table add up to 0. */
#pragma once

#include <kernel/lib/types.h>

/* The sum of `len` bytes, modulo 256. */
static inline u8 byte_sum(const void *data, size_t len)
{
	const u8 *p = data;
	u8 sum = 0;

	while (len--)
		sum = (u8)(sum + *p++);
	return sum;
}
