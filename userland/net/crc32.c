/* CRC-32, eight bytes at a time (slicing by 8). */
#include "crc32.h"

#include <string.h>

#define POLYNOMIAL 0xedb88320u

/* table[k][b]: the contribution of byte b to the remainder when k more bytes follow it. */
static u32 table[8][256];

void crc32_init(void)
{
	for (u32 b = 0; b < 256; b++) {
		u32 crc = b;

		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? POLYNOMIAL : 0);
		table[0][b] = crc;
	}
	for (int k = 1; k < 8; k++)
		for (u32 b = 0; b < 256; b++)
			table[k][b] = table[k - 1][b] >> 8 ^ table[0][table[k - 1][b] & 0xff];
}

u32 crc32_add(u32 crc, const void *data, size_t length)
{
	const u8 *p = data;

	crc = ~crc;
	for (; length >= 8; length -= 8, p += 8) {
		u64 word;

		memcpy(&word, p, 8);
		word ^= crc;
		crc = table[7][word & 0xff] ^ table[6][word >> 8 & 0xff] ^
		      table[5][word >> 16 & 0xff] ^ table[4][word >> 24 & 0xff] ^
		      table[3][word >> 32 & 0xff] ^ table[2][word >> 40 & 0xff] ^
		      table[1][word >> 48 & 0xff] ^ table[0][word >> 56];
	}
	for (; length; length--)
		crc = crc >> 8 ^ table[0][(crc ^ *p++) & 0xff];
	return ~crc;
}
