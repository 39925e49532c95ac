/* sources: kernel/core/topology.c */
/* The start of the application processors, which are threads here: what others can count on when
 * one is online. */
#include "test.h"

#include <kernel/core/clock.h>
#include <kernel/core/cpuinit.h>
#include <kernel/core/lapic.h>
#include <kernel/core/paging.h>
#include <kernel/core/tscsync.h>
#include <kernel/lib/atomic.h>
#include <kernel/mm/alloc.h>
#include <kernel/x86/interrupts.h>

#include <pthread.h>
#include <unistd.h>

/* --- a machine ------------------------------------------------------------ */

__asm__(".pushsection .rodata\n"
	".globl trampoline_start, trampoline_words, trampoline_end\n"
	"trampoline_start: .skip 32\n"
	"trampoline_words: .skip 32\n"
	"trampoline_end: .popsection\n");

static __thread struct cpu *running;
struct cpu *cpus[MAX_CPUS];
u32 nr_cpus;

#define this_cpu() (running)
#define halt_forever() pthread_exit(NULL)
#include <kernel/core/smp.c>

#define NR_CPUS 5
#define BAD_TSC 3 /* this one's is behind */
#define SLOW 2 /* takes longer to get ready than a CPU may take to start */

static u8 first_page[PAGE_SIZE] __aligned(PAGE_SIZE);
static struct cpu first;
static u32 starting, inits[NR_CPUS];
static u64 skipped_ns;
static bool runs[NR_CPUS];
static pthread_t thread[NR_CPUS];

u64 clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (u64)t.tv_sec * 1000000000 + (u64)t.tv_nsec + load_acquire(&skipped_ns);
}

void clock_delay_us(u32 us)
{
	(void)us;
}

void *kzalloc(size_t size)
{
	static struct cpu_area area[NR_CPUS];
	static u32 nr;

	assert_true(size == sizeof(area[0]) && nr < NR_CPUS);
	return &area[nr++];
}

void kfree(void *p)
{
	(void)p;
}

mfn_t alloc_frames_below(u32 order, mfn_t limit)
{
	(void)order, (void)limit;
	return 9;
}

void free_frames(mfn_t mfn, u32 order)
{
	(void)mfn, (void)order;
}

void *phys_to_virt(paddr_t pa)
{
	assert_int_equal(pa, 9 << PAGE_SHIFT);
	return first_page;
}

paddr_t virt_to_phys(const void *va)
{
	assert_ptr_equal(va, first_page);
	return 9 << PAGE_SHIFT;
}

int paging_map_identity(paddr_t page)
{
	(void)page;
	return 0;
}

void paging_unmap_identity(void)
{
}

paddr_t paging_root(void)
{
	return 0;
}

void paging_flush(void)
{
}

void *paging_map_stack(u32 nr_pages)
{
	(void)nr_pages;
	return first_page;
}

int segments_map_stacks(struct segments *s)
{
	(void)s;
	return 0;
}

void cpu_init(struct cpu_area *area)
{
	running = &area->cpu;
}

void lapic_enable(void)
{
}

u32 lapic_max_id(void)
{
	return 255;
}

void lapic_send_init(u32 apic_id)
{
	starting = apic_id;
	inits[apic_id]++;
}

static void *run(void *area)
{
	ap_entry(area);
}

void lapic_send_startup(u32 apic_id, u8 page)
{
	const struct trampoline_words *w = (const void *)(first_page + 32);

	assert_int_equal(page, 9);
	/* One that runs ignores it. */
	if (runs[apic_id])
		return;
	runs[apic_id] = true;
	pthread_create(&thread[apic_id], NULL, run, (void *)w->argument);
}

void tscsync_begin(void)
{
}

bool tscsync_join(void)
{
	return running->apic_id != BAD_TSC;
}

enum tscsync tscsync_poll(void)
{
	return starting == BAD_TSC ? TSC_BEHIND : TSC_AGREES;
}

/* --- tests ---------------------------------------------------------------- */

static u32 prepared, early; /* CPUs, one bit each */

static void prepare(void)
{
	if (running->apic_id == SLOW)
		store_release(&skipped_ns, 10 * START_TIMEOUT_NS);
	usleep(20000);
	if (load_acquire(&nr_cpus) == running->id && !running->online)
		early |= 1u << running->apic_id;
	running->arch = running;
	prepared |= 1u << running->apic_id;
}

static void work(void)
{
	pthread_exit(NULL);
}

/* What an online CPU is prepared for is done, and one that runs is not stopped. */
static void prepared_before_it_is_online(void **state)
{
	static const u32 ids[NR_CPUS] = { 0, 1, 2, 3, 4 };

	(void)state;
	running = cpus[0] = &first;
	first.arch = &first;
	nr_cpus = 1;
	smp_init(ids, NR_CPUS, (struct smp_limits){ MAX_CPUS, false }, prepare, work);
	assert_int_equal(nr_cpus, 4);
	for (u32 i = 0; i < nr_cpus; i++) {
		assert_int_equal(cpus[i]->id, i);
		assert_non_null(cpus[i]->arch);
	}
	assert_int_equal(prepared, 0x16);
	assert_int_equal(early, 0x16);
	for (u32 i = 1; i < NR_CPUS; i++) {
		assert_int_equal(inits[i], i == BAD_TSC ? 2 : 1);
		pthread_join(thread[i], NULL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(prepared_before_it_is_online),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
