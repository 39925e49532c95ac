/* Hypercalls with any number and nearly valid arguments; and release and population of memory by
 * all vCPUs at once. */
#include <tests/guests/fuzz/fuzz.h>

#include <kernel/abi/hypercall.h>

/* Except shutdown, which step_end() does. */
void step_hypercall(struct cpu *c)
{
	static const u64 bases[] = { 0, 0x100, 0x108, 0xffffffffffffff00 };
	u64 number = one_in(c, 8) ? random_edge(c) :
				    bases[random_below(c, 4)] + random_below(c, 16);
	u64 a = one_in(c, 2) ? random_edge(c) : random_address(c);
	u64 b = one_in(c, 2) ? random_edge(c) : random_address(c);

	if (number == WEIR_HC_SHUTDOWN && a <= 2)
		a += 3;
	/* The memory that this program uses is rarely given back. */
	if ((number == WEIR_HC_MEM_RELEASE) && !one_in(c, 64 * (u64)rare))
		a |= SPARE >> 12;
	(void)hypercall(number, a, b, random_edge(c));
}

void step_memory(struct cpu *c)
{
	u64 frames = (memory_size - SPARE) >> 12;
	u64 gfn = (SPARE >> 12) + random_below(c, frames);
	u64 nr = 1 + random_below(c, one_in(c, 4) ? frames : 16);

	if (one_in(c, 4))
		gfn &= ~511UL;
	if (one_in(c, 2)) {
		(void)hypercall(WEIR_HC_MEM_RELEASE, gfn, nr, 0);
		return;
	}
	(void)hypercall(WEIR_HC_MEM_POPULATE, gfn, nr, 0);
	*(volatile u64 *)(gfn << 12) = random64(c);
}

/* Release every second page, so that each 2 MiB page becomes a table and each release a batch of
 * its own. */
void step_shatter(struct cpu *c)
{
	u64 frames = (memory_size - SPARE) >> 12,
	    gfn = (SPARE >> 12) + (random_below(c, frames) & ~511UL);

	for (u64 i = 0; i < 512; i += 2)
		(void)hypercall(WEIR_HC_MEM_RELEASE, gfn + i, 1, 0);
	if (one_in(c, 4))
		(void)hypercall(WEIR_HC_MEM_POPULATE, SPARE >> 12, frames, 0);
}

/* Print as much as the console takes. */
void step_log(struct cpu *c)
{
	print("%lx%lx%lx\n", random64(c), random64(c), random64(c));
}
