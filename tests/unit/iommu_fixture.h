/* Shared by the tests of iommu/: a domain with a device or two, mapping and unmapping, and a check
 * that nothing of it remains. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <iommu/domain.h>
#include <kernel/lib/errno.h>
#include <kernel/lib/string.h>
#include <kernel/mm/alloc.h>
#include <kernel/mm/frame.h>
#include <tests/unit/vtd_check.h>

#include <cmocka.h>

#define OWNER 1
#define RW (IOMMU_READ | IOMMU_WRITE)
#define SPACE 4096UL /* device frames that the tests use */

static struct iommu_domain *d;
static int wakes;
static bool gone;

static inline void wake(void *arg)
{
	(void)arg;
	wakes++;
}

static inline void mark_gone(void *arg)
{
	(void)arg;
	gone = true;
}

static bool running;

static inline void stop(void)
{
	vtd_stop();
	running = false;
}

static inline void start_with(const struct vtd_config *config, bool two_units, u32 flags)
{
	/* A failed test leaves locks held and devices attached. */
	if (running) {
		print_error("the previous test did not finish: no more tests are run\n");
		exit(1);
	}
	alarm(60);
	running = true;
	assert_true(vtd_start(config));
	assert_int_equal(frame_set(VTD_RAM_FIRST, ORDER_1G, FRAME_RAM, OWNER), 0);
	assert_int_equal(frame_set(VTD_RAM_FIRST + (1UL << 18), ORDER_1G, FRAME_RAM, OWNER), 0);
	assert_int_equal(iommu_domain_create(&d, OWNER, "test", wake, NULL), 0);
	assert_int_equal(iommu_attach(d, VTD_DEVICE_0, flags), 0);
	if (two_units)
		assert_int_equal(iommu_attach(d, VTD_DEVICE_1, flags), 0);
	vtd_settle();
	wakes = 0;
}

static inline void start(const struct vtd_config *config, bool two_units)
{
	start_with(config, two_units, 0);
}

static bool detached;

static inline void mark_detached(void *arg)
{
	(void)arg;
	detached = true;
}

static inline void detach(struct pci_id dev)
{
	bool at_once;
	mfn_t seen;

	/* The unit caches its context entry now. */
	(void)vtd_dma(dev, 0, &seen);
	detached = false;
	at_once = iommu_device_state(dev) == IOMMU_DEVICE_QUARANTINED; /* isolated before */
	iommu_detach(dev, mark_detached, NULL);
	assert_int_equal(detached, at_once);
	vtd_settle();
	assert_true(detached);
	for (dfn_t i = 0; i < SPACE; i += 64)
		assert_false(vtd_dma(dev, i, &seen));
}

/* Destroys the domain and checks that nothing of it remains. */
static inline void finish(bool two_units)
{
	struct frame_info f;

	detach(VTD_DEVICE_0);
	if (two_units)
		detach(VTD_DEVICE_1);
	gone = false;
	iommu_domain_destroy(d, mark_gone, NULL);
	vtd_settle();
	assert_true(gone);
	for (mfn_t m = VTD_RAM_FIRST; m < VTD_RAM_FIRST + (2UL << 18); m += 511) {
		assert_true(frame_query(m, &f));
		assert_int_equal(f.own_refs + f.block_refs, 0);
	}
	/* All frames but the context table, which stays, and what the slabs keep. */
	assert_in_range(vtd_free_at_start - alloc_free_frames(), 0, 40);
	stop();
}

static inline int map(dfn_t dfn, mfn_t mfn, u64 nr)
{
	IOMMU_GATHER(g);
	int ret;

	ret = iommu_gather_begin(&g, d);
	if (ret)
		return ret;
	ret = iommu_map(&g, dfn, mfn, nr, RW);
	iommu_gather_commit(&g, 0);
	return ret;
}

static inline void unmap(dfn_t dfn, u64 nr)
{
	IOMMU_GATHER(g);

	assert_int_equal(iommu_gather_begin(&g, d), 0);
	iommu_unmap(&g, dfn, nr);
	iommu_gather_commit(&g, nr);
}

static const struct vtd_config plain;
