/* Measures the IOMMU core on the host: nanoseconds per call, with one thread, and with two threads
 * that have a domain each. The measured files are Weir's own. No device is attached, so nothing is
 * flushed.
 *
 * Each row shows the operation, the nanoseconds with one thread and with each of two at a time, and
 * how much more work two threads do. All values are medians.
 */
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include <drivers/pci.h>
#include <drivers/pcidma.h>
#include <iommu/domain.h>
#include <iommu/hw.h>
#include <kernel/core/clock.h>
#include <kernel/core/irq.h>
#include <kernel/core/lapic.h>
#include <kernel/core/log.h>
#include <kernel/core/paging.h>
#include <kernel/core/panic.h>
#include <kernel/mm/alloc.h>
#include <kernel/mm/frame.h>

#define FRAMES (1UL << 21) /* 8 GiB, of which only the tables are touched */
#define GIB (1UL << ORDER_1G)
#define RW (IOMMU_READ | IOMMU_WRITE)
#define THREADS 2

static char *memory;

/* --- stand-ins for what the core calls ------------------------------------ */

void *phys_to_virt(paddr_t pa)
{
	return memory + pa;
}

paddr_t virt_to_phys(const void *va)
{
	return (paddr_t)((const char *)va - memory);
}

u64 clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (u64)t.tv_sec * 1000000000 + (u64)t.tv_nsec;
}

u64 hw_cycles(void)
{
	return __builtin_ia32_rdtsc();
}

u64 hw_cycles_to_ns(u64 cycles)
{
	return cycles;
}

void hw_write_back(const void *p __unused, size_t n __unused)
{
}

/* Deferred work runs at once, in the caller that queues it. */
void work_init(struct work *w, enum step (*step)(struct work *w))
{
	w->step = step;
}

void work_queue(struct work *w)
{
	while (w->step(w) == STEP_MORE)
		;
}

void work_forget(struct work *w __unused)
{
}

bool work_run(void)
{
	return false;
}

void panic(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	abort();
}

void log_print(enum log_level level __unused, const char *fmt __unused, ...)
{
}

bool log_allowed(struct log_limit *limit __unused)
{
	return true;
}

/* No unit is ever accessed. */
#define NEVER(type, name, ...)                                                                     \
	type name(__VA_ARGS__)                                                                     \
	{                                                                                          \
		abort();                                                                           \
	}
NEVER(u32, hw_read32, volatile void *base __unused, u32 reg __unused)
NEVER(u64, hw_read64, volatile void *base __unused, u32 reg __unused)
NEVER(void, hw_write32, volatile void *base __unused, u32 reg __unused, u32 value __unused)
NEVER(void, hw_write64, volatile void *base __unused, u32 reg __unused, u64 value __unused)
NEVER(volatile void *, mmio_map, paddr_t pa __unused, size_t size __unused)
NEVER(u32, pci_config_read32, u16 segment __unused, u16 bdf __unused, u16 offset __unused)
NEVER(bool, pci_exists, u16 segment __unused, u16 bdf __unused)
NEVER(struct pci_device *, pci_device_at, u32 index __unused)
NEVER(struct pci_id, pci_physical, struct pci_id id __unused)
NEVER(u32, pci_ats_depth, struct pci_id id __unused)
NEVER(void, pci_ats_enable, struct pci_id id __unused)
NEVER(void, pci_stop, struct pci_id id __unused)
NEVER(bool, lapic_is_x2apic, void)
NEVER(int, irq_alloc, u32 cpu __unused, void (*handler)(void *arg) __unused, void *arg __unused)
NEVER(void, irq_msi_message, u32 cpu __unused, int vector __unused, u64 *address __unused,
      u32 *data __unused)
NEVER(void, irq_wait, void)
NEVER(void, timer_init, struct timer *t __unused, void (*fn)(struct timer *t) __unused)
NEVER(void, timer_set, struct timer *t __unused, u64 ns __unused)
NEVER(void, timer_cancel, struct timer *t __unused)

/* --- rows ----------------------------------------------------------------- */

static struct iommu_domain *domain[THREADS];

/* The parameters of a row: a thread maps and unmaps nr frames of its own block repeatedly, at most
 * `piece` frames per call. */
struct row {
	const char *name;
	u64 nr, piece, skew; /* skew: device frames are misaligned by this many frames */
	unsigned int largest;
	u64 rounds;
};

static const struct row rows[] = {
	{ "one 4 KiB leaf", 1, 1, 0, 3, 100000 },
	{ "one 2 MiB leaf", 512, 512, 0, 3, 100000 },
	{ "512 x 4 KiB, one call", 512, 512, 0, 1, 20000 },
	{ "512 x 4 KiB, no block", 511, 511, 1, 1, 5000 },
	{ "512 x 4 KiB, 512 calls", 512, 1, 1, 1, 1000 },
};

static const struct row *row;
static pthread_barrier_t together;
#define MAX_ROUNDS 100000
static u32 map_ns[THREADS][MAX_ROUNDS], unmap_ns[THREADS][MAX_ROUNDS];

static void one_round(struct iommu_domain *d, mfn_t mfn, u32 *map, u32 *unmap)
{
	u64 start = clock_ns(), middle;
	IOMMU_GATHER(g);

	if (iommu_gather_begin(&g, d))
		panic("no batch\n");
	for (u64 i = 0; i < row->nr; i += row->piece)
		if (iommu_map(&g, GIB + i, mfn + row->skew + i, row->piece, RW))
			panic("%s: cannot be mapped\n", row->name);
	iommu_gather_commit(&g, 0);
	middle = clock_ns();
	if (iommu_gather_begin(&g, d))
		panic("no batch\n");
	iommu_unmap(&g, GIB, row->nr);
	iommu_gather_commit(&g, 0);
	*map = (u32)(middle - start);
	*unmap = (u32)(clock_ns() - middle);
}

static void *thread(void *arg)
{
	u64 me = (u64)arg;

	pthread_barrier_wait(&together);
	for (u64 i = 0; i < row->rounds; i++)
		one_round(domain[me], (me + 2) * GIB, &map_ns[me][i], &unmap_ns[me][i]);
	return NULL;
}

static int compare(const void *a, const void *b)
{
	return *(const u32 *)a < *(const u32 *)b ? -1 : *(const u32 *)a > *(const u32 *)b;
}

/* The median, since other programs on the machine sometimes interrupt a round for long. */
static u32 median(u32 *ns)
{
	qsort(ns, row->rounds, sizeof(*ns), compare);
	return ns[row->rounds / 2];
}

static void run(u32 threads, u32 *map, u32 *unmap)
{
	pthread_t t[THREADS];

	pthread_barrier_init(&together, NULL, threads);
	for (u64 i = 0; i < threads; i++)
		if (pthread_create(&t[i], NULL, thread, (void *)i))
			panic("no thread\n");
	for (u32 i = 0; i < threads; i++)
		pthread_join(t[i], NULL);
	pthread_barrier_destroy(&together);
	*map = *unmap = 0;
	for (u32 i = 0; i < threads; i++) {
		*map = MAX(*map, median(map_ns[i]));
		*unmap = MAX(*unmap, median(unmap_ns[i]));
	}
}

/* Maps a page next to the measured range, so that the upper tables always exist. */
static void map_neighbour(u32 i, dfn_t dfn)
{
	IOMMU_GATHER(g);

	if (iommu_gather_begin(&g, domain[i]) || iommu_map(&g, dfn, (i + 2) * GIB, 1, RW))
		panic("no neighbour\n");
	iommu_gather_commit(&g, 0);
}

static void nobody(void *arg __unused)
{
}

int main(void)
{
	void *records;

	memory = mmap(NULL, FRAMES << PAGE_SHIFT, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	records = calloc(1, frame_table_size(FRAMES));
	if (memory == MAP_FAILED || !records)
		panic("no memory\n");
	frame_table_init(records, FRAMES);
	alloc_add(0x100, GIB - 0x100);
	/* Pretends that there is a unit: domains then have tables, but nothing reads them. */
	iommu_nr_units = 1;
	iommu_common = (struct iommu_common){
		.levels = 4, .limit = 1UL << 36, .coherent = true, .nr_domains = 1 << 16
	};
	for (u16 i = 0; i < THREADS; i++) {
		if (frame_set((i + 2) * GIB, ORDER_1G, FRAME_RAM, i + 1) ||
		    iommu_domain_create(&domain[i], i + 1, "bench", nobody, NULL))
			panic("no domain\n");
		iommu_common.largest = 3;
		map_neighbour(i, 3 * GIB);
		map_neighbour(i, GIB + 4096);
	}
	printf("%-26s%12s%14s%12s%14s%10s\n", "ns, one and two threads", "map", "by two", "unmap",
	       "by two", "scaling");
	for (row = rows; row < rows + ARRAY_SIZE(rows); row++) {
		u32 map[2], unmap[2];

		iommu_common.largest = row->largest;
		run(1, &map[0], &unmap[0]); /* the first round fills the reserves */
		run(1, &map[0], &unmap[0]);
		run(2, &map[1], &unmap[1]);
		printf("%-26s%12u%14u%12u%14u%9.2fx\n", row->name, map[0], map[1], unmap[0],
		       unmap[1], 2.0 * (map[0] + unmap[0]) / (map[1] + unmap[1]));
	}
	printf("\nframe table: %.2f MB for each GiB of RAM (target: at most 4.2 MB)\n",
	       (double)frame_table_size(GIB) / 1e6);
	printf("I/O table pages for 1 GiB: 0 as a 1 GiB leaf, 1 as 2 MiB leaves, "
	       "%lu as 4 KiB leaves\n",
	       1 + GIB / 512);
	return 0;
}
