/* Memory given back to Weir and taken again, by hypercalls: some pages; or, with the group "bulk",
 * all that this guest does not use; or, with the group "split", a page in each GiB, so that 2 MiB
 * pages remain of it. */
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

#define UNUSED (64UL << 20)
#define HOLE 0xc0000000UL
#define ABOVE_4G 0x100000000UL

void test_bulk(void)
{
	u64 first = UNUSED >> 12, end, high;

	(void)hypercall(WEIR_HC_STATS, (u64)&stats, sizeof(stats), 0);
	end = stats.pages_owned < HOLE >> 12 ? stats.pages_owned : HOLE >> 12;
	high = stats.pages_owned - end;
	print("bulk: %lu pages\n", end - first);
	CHECK_EQ("bulk: all is given back", all(WEIR_HC_MEM_RELEASE, first, end - first), 0);
	if (high)
		CHECK_EQ("bulk: above 4 GiB", all(WEIR_HC_MEM_RELEASE, ABOVE_4G >> 12, high), 0);
	/* A page in the middle: a 1 GiB page becomes smaller ones. */
	CHECK_EQ("bulk: a page is taken", all(WEIR_HC_MEM_POPULATE, first + 1, 1), 0);
	CHECK_EQ("bulk: the page is given back", all(WEIR_HC_MEM_RELEASE, first + 1, 1), 0);
	for (u64 gfn = first; gfn < first + 4096; gfn += 2)
		(void)all(WEIR_HC_MEM_POPULATE, gfn, 1);
	CHECK_EQ("bulk: all is taken", all(WEIR_HC_MEM_POPULATE, first, end - first), 0);
	if (high)
		CHECK_EQ("bulk: taken above 4 GiB", all(WEIR_HC_MEM_POPULATE, ABOVE_4G >> 12, high),
			 0);
	CHECK_EQ("bulk: it is zero", *(volatile u64 *)(first << 12), 0);
	(void)hypercall(WEIR_HC_STATS, (u64)&stats, sizeof(stats), 0);
	print("bulk: %lu pages owned\n", stats.pages_owned);
}

#define GIB (1UL << 30)

void test_split(void)
{
	u64 end;

	(void)hypercall(WEIR_HC_STATS, (u64)&stats, sizeof(stats), 0);
	end = stats.pages_owned << 12;
	for (u64 at = UNUSED; at < end; at += GIB)
		CHECK_EQ("split: a page is given back", all(WEIR_HC_MEM_RELEASE, at >> 12, 1), 0);
	/* Then what remains of two 2 MiB pages, as 4 KiB pages: one step for their entries, and
	 * half a step more. */
	CHECK_EQ("split: a page more", all(WEIR_HC_MEM_RELEASE, (UNUSED >> 12) + 512, 1), 0);
	CHECK_EQ("split: the rest", all(WEIR_HC_MEM_RELEASE, (UNUSED >> 12) + 1, 767), 0);
}
