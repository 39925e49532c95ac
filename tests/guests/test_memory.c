/* Memory given back to Weir and taken again, by hypercalls. */
#include <tests/guests/guest.h>

#include <kernel/abi/hypercall.h>

#define FRAME 0xa00UL /* at 10 MiB, which this guest does not use */

static struct weir_stats stats __aligned(PAGE_SIZE);

static s64 all(u64 call, u64 gfn, u64 nr)
{
	while (nr) {
		s64 done = hypercall(call, gfn, nr, 0);

		if (done <= 0)
			return done;
		gfn += (u64)done;
		nr -= (u64)done;
	}
	return 0;
}

void test_memory(void)
{
	volatile u64 *p = (volatile u64 *)(FRAME << 12);
	u64 owned, bad = 0;

	if (!under_weir)
		return;
	CHECK_EQ("memory: version", hypercall(WEIR_HC_VERSION, 0, 0, 0), WEIR_ABI_VERSION);
	CHECK_EQ("memory: a call that does not exist", hypercall(12345, 0, 0, 0), -38);
	CHECK("memory: statistics",
	      hypercall(WEIR_HC_STATS, (u64)&stats, sizeof(stats), 0) == sizeof(stats));
	CHECK("memory: exits are counted", stats.exits[WEIR_EXIT_CPUID] &&
						   stats.exits[WEIR_EXIT_IO] &&
						   stats.exits[WEIR_EXIT_HYPERCALL]);
	CHECK_EQ("memory: statistics to an address without memory",
		 hypercall(WEIR_HC_STATS, 0xfe000000, 8, 0), -14);
	owned = stats.pages_owned;

	p[0] = 0x1234;
	p[512] = 0x5678;
	CHECK_EQ("memory: release", all(WEIR_HC_MEM_RELEASE, FRAME, 2), 0);
	CHECK_EQ("memory: a released page reads as ones", p[0], ~0UL);
	p[512] = 1;
	CHECK_EQ("memory: and drops writes", p[512], ~0UL);
	hypercall(WEIR_HC_STATS, (u64)&stats, sizeof(stats), 0);
	CHECK("memory: it is no longer owned, or still waits",
	      stats.pages_owned >= owned - 2 && stats.pages_owned <= owned);
	CHECK_EQ("memory: populate", all(WEIR_HC_MEM_POPULATE, FRAME, 2), 0);
	for (unsigned int i = 0; i < 1024; i++)
		bad += p[i] != 0;
	CHECK_EQ("memory: it is zeroed", bad, 0);
	p[0] = 0x4321;
	CHECK_EQ("memory: and is memory", p[0], 0x4321);
	hypercall(WEIR_HC_STATS, (u64)&stats, sizeof(stats), 0);
	CHECK_EQ("memory: as many pages as before", stats.pages_owned, owned);
	CHECK_EQ("memory: frames that are not its own",
		 hypercall(WEIR_HC_MEM_RELEASE, 0xfe000, 1, 0), -22);
}
