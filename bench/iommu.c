/* Counts the instructions of the IOMMU core's calls in the image itself. Linked with Weir's own
 * objects and --wrap=build_domains, it runs at the end of the boot instead of the domains.
 * bench/iommu.py starts it under `-icount shift=0`, where the time-stamp counter counts
 * instructions.
 *
 * Each row runs twice and reports the second run. The measured part includes posting the flush, but
 * not waiting for it.
 */
#include <iommu/domain.h>
#include <iommu/identity.h>
#include <kernel/core/debugexit.h>
#include <kernel/core/irq.h>
#include <kernel/core/log.h>
#include <kernel/core/panic.h>
#include <kernel/core/work.h>
#include <kernel/guest/lifecycle/builder.h>
#include <kernel/mm/alloc.h>
#include <kernel/mm/frame.h>
#include <kernel/x86/tsc.h>

#define OWNER 9
#define RW (IOMMU_READ | IOMMU_WRITE)
#define GIB (1UL << ORDER_1G)
#define MIB2 (1UL << ORDER_2M)
#define PLACE (64 * GIB) /* number of device frames used */
#define LOOPS 1000

static const struct pci_id nic = { 0, PCI_BDF(0, 3, 0) };
static struct iommu_domain *d;
static mfn_t block; /* of 1 GiB */
static bool second_time;

void __wrap_build_domains(const struct boot_info *info, const struct build_options *options,
			  void (*ready)(void));

static void nobody(void *arg __unused)
{
}

static void tell(const char *row, u64 start, u64 divide)
{
	u64 instructions = rdtsc() - start;

	if (second_time)
		log_info("bench: %s: %lu", row, instructions / divide);
}

/* Waits until every batch is released. Returns the instructions of the release steps. */
static u64 settle(void)
{
	u64 spent = 0, start;
	struct weir_stats s;

	for (;;) {
		start = rdtsc();
		while (work_run())
			;
		spent += rdtsc() - start;
		iommu_domain_stats(d, &s);
		if (!s.batches_in_flight)
			return spent;
		irq_wait();
	}
}

static void begin(struct iommu_gather *g)
{
	if (iommu_gather_begin(g, d))
		panic("bench: no batch");
}

static void map(const char *row, dfn_t dfn, mfn_t mfn, u64 nr)
{
	IOMMU_GATHER(g);
	u64 start;

	begin(&g);
	start = rdtsc();
	if (iommu_map(&g, dfn, mfn, nr, RW))
		panic("bench: %lu frames cannot be mapped", nr);
	if (row)
		tell(row, start, 1);
	iommu_gather_commit(&g, 0);
	(void)settle();
}

/* Prints a row. Returns the instructions of the release. */
static u64 unmap(const char *row, dfn_t dfn, u64 nr)
{
	u64 start = rdtsc();
	IOMMU_GATHER(g);

	begin(&g);
	iommu_unmap(&g, dfn, nr);
	iommu_gather_commit(&g, nr);
	if (row)
		tell(row, start, 1);
	return settle();
}

static void superpages(void)
{
	map(NULL, PLACE, block, 1);
	map("map one 4 KiB leaf", PLACE + 1, block + 1, 1);
	(void)unmap("unmap one 4 KiB leaf", PLACE + 1, 1);
	(void)unmap(NULL, PLACE, 1);
	map(NULL, PLACE, block, MIB2);
	map(NULL, PLACE + 3 * MIB2, block, MIB2);
	map("map one 2 MiB leaf", PLACE + MIB2, block + MIB2, MIB2);
	(void)unmap(NULL, PLACE, GIB);
	map(NULL, PLACE - GIB, block, GIB);
	map("map one 1 GiB leaf", PLACE, block, GIB);
	(void)unmap("split a 1 GiB leaf, unmapping 4 KiB of it", PLACE + 12345, 1);
	(void)unmap(NULL, PLACE - GIB, 2 * GIB);
}

/* As on hardware without superpages. */
static void small_pages(void)
{
	unsigned int largest = iommu_common.largest;

	iommu_common.largest = 1;
	map(NULL, PLACE + MIB2, block, 1);
	map("map 2 MiB as 4 KiB leaves", PLACE, block, MIB2);
	(void)unmap("unmap 2 MiB of 4 KiB leaves", PLACE, MIB2);
	(void)unmap(NULL, PLACE + MIB2, 1);
	map("map 1 GiB as 4 KiB leaves", PLACE, block, GIB);
	(void)unmap("unmap 1 GiB of 4 KiB leaves", PLACE, GIB);
	iommu_common.largest = largest;
}

/* No two frames are adjacent: a reference for each. */
static void scattered_pages(void)
{
	u64 start, release;
	IOMMU_GATHER(g);

	map(NULL, PLACE + 512, block, 1);
	begin(&g);
	start = rdtsc();
	for (u64 i = 0; i < 512; i++)
		if (iommu_map(&g, PLACE + i, block + i * 512 + i * 7 % 512, 1, RW))
			panic("bench: a frame cannot be mapped");
	tell("map a scattered 4 KiB leaf", start, 512);
	iommu_gather_commit(&g, 0);
	(void)settle();
	release = unmap(NULL, PLACE, 512);
	start = rdtsc() - release;
	tell("release a scattered 4 KiB leaf", start, 512);
	(void)unmap(NULL, PLACE + 512, 1);
}

static void identity(void)
{
	struct range ranges[4];
	struct rangeset set;
	mfn_t other = alloc_frames(ORDER_1G);
	IOMMU_GATHER(g);
	u64 start;

	if (other == INVALID_MFN || frame_set(other, ORDER_1G, FRAME_RAM, OWNER))
		panic("bench: no second block of 1 GiB");
	start = rdtsc();
	rangeset_init(&set, "bench", ranges, ARRAY_SIZE(ranges));
	/* The first megabyte is not RAM, so all leaf sizes occur. */
	if (rangeset_add(&set, block + 256, block + GIB - 1) ||
	    rangeset_add(&set, other, other + GIB - 1) || iommu_gather_begin(&g, d) ||
	    identity_map(&g, &set, 0))
		panic("bench: no identity map");
	iommu_gather_commit(&g, 0);
	tell("identity map of 2 GiB", start, 1);
	(void)settle();
	(void)unmap(NULL, block, GIB);
	(void)unmap(NULL, other, GIB);
	free_frames(other, ORDER_1G);
}

/* Measures a loop of 6 instructions, to calibrate the counter. */
static void calibrate(void)
{
	u64 start = rdtsc();

	for (volatile u32 i = 0; i < LOOPS; i++)
		;
	second_time = true;
	tell("a loop of 6 instructions", start, LOOPS);
	second_time = false;
}

void __wrap_build_domains(const struct boot_info *info __unused,
			  const struct build_options *options __unused,
			  void (*ready)(void) __unused)
{
	struct weir_stats s;

	calibrate();
	block = alloc_frames(ORDER_1G);
	if (block == INVALID_MFN || frame_set(block, ORDER_1G, FRAME_RAM, OWNER))
		panic("bench: no block of 1 GiB");
	if (iommu_domain_create(&d, OWNER, "bench", nobody, NULL) || iommu_attach(d, nic, 0))
		panic("bench: no domain with a device");
	/* Keeps the upper tables allocated. */
	map(NULL, PLACE - 2 * GIB, block, 1);
	for (int i = 0; i < 2; i++) {
		superpages();
		small_pages();
		scattered_pages();
		identity();
		second_time = true;
	}
	(void)unmap(NULL, PLACE - 2 * GIB, 1);
	iommu_domain_stats(d, &s);
	if (s.io_references)
		panic("bench: %lu references are left", s.io_references);
	debug_exit(DEBUG_EXIT_READY);
}
