/* Prints the ranges of ports that respond to reads, one per line. */
#include <tests/guests/guest.h>

#include <kernel/abi/hypercall.h>

#define BLOCK 64u

static struct weir_stats stats __aligned(PAGE_SIZE);

static u64 absent(void)
{
	hypercall(WEIR_HC_STATS, (u64)&stats, sizeof(stats), 0);
	return stats.absent_accesses;
}

/* How many of the ports do not respond. */
static u64 silent(u32 first, u32 nr)
{
	u64 before = absent();

	for (u32 port = first; port < first + nr; port++)
		(void)inb((u16)port);
	return absent() - before;
}

void test_all_ports(void)
{
	u32 first = 0;
	bool open = false;

	for (u32 block = 0; block < 0x10000; block += BLOCK) {
		bool none = silent(block, BLOCK) == BLOCK;

		for (u32 port = block; port < block + BLOCK; port++) {
			bool answers = !none && !silent(port, 1);

			if (answers && !open)
				first = port;
			if (!answers && open && first == port - 1)
				print("ports: 0x%x\n", first);
			else if (!answers && open)
				print("ports: 0x%x-0x%x\n", first, port - 1);
			open = answers;
		}
	}
}
