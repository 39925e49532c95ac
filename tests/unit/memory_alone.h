/* Stand-ins for the pool and the shoot-down, for tests of a domain's memory without other CPUs. A
 * test that links the real one of the two uses that one. */
#pragma once

#include <kernel/guest/memory/pool.h>
#include <kernel/guest/memory/shootdown.h>

void __attribute__((weak)) shootdown_post(struct nested *n, struct iommu_gather *g)
{
	(void)n, (void)g;
}

void __attribute__((weak)) shootdown_kick(struct nested *n)
{
	(void)n;
}

bool __attribute__((weak)) pool_reclaim(u64 nr)
{
	(void)nr;
	return false;
}
