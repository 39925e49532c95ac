/* blob SEED BYTES: writes the stream that the network guest's GET /blob should send. Written from
 * its description only, without the guest's source. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
	uint64_t x, left;

	if (argc != 3)
		return 2;
	x = strtoull(argv[1], NULL, 10);
	left = strtoull(argv[2], NULL, 10);
	if (!x)
		x = 1;
	while (left) {
		x ^= x >> 12;
		x ^= x << 25;
		x ^= x >> 27;
		for (int i = 0; i < 8 && left; i++, left--)
			putchar((int)(x * 2685821657736338717ULL >> 8 * i & 0xff));
	}
	return fflush(stdout) ? 1 : 0;
}
