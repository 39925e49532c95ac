/* The real shoot-down with the real memory code on the simulated machine: what a domain gives back
 * is not freed, and not given to another, before each CPU that ran one of its vCPUs has answered.
 *
 * sources: $(IOMMU_SRCS) $(MEMORY_SRCS) kernel/guest/memory/shootdown.c
 * libs: $(IOMMU_LIBS)
 */
#include <asm/prctl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <iommu/iommu.h>
#include <kernel/core/cpu.h>
#include <kernel/core/irq.h>
#include <kernel/core/paging.h>
#include <kernel/guest/memory/devicemap.h>
#include <kernel/guest/memory/memrelease.h>
#include <kernel/guest/memory/pool.h>
#include <kernel/guest/memory/shootdown.h>
#include <kernel/lib/errno.h>
#include <kernel/lib/string.h>
#include <kernel/mm/alloc.h>
#include <tests/unit/memory_alone.h>
#include <tests/unit/memory_build.h>
#include <tests/unit/nested_format.h>
#include <tests/unit/vtd_check.h>

#include <cmocka.h>

#define FRAMES 2048UL
#define CPUS 4u

static struct cpu cpu[CPUS];
u32 nr_cpus = CPUS;
static u32 asked[CPUS], kicked[CPUS]; /* interrupts sent to each CPU, and not taken yet */
static void (*shoot)(void *arg);

/* The code that follows runs on this CPU: this_cpu() reads GS. */
static void on(u32 id)
{
	cpu[id].self = &cpu[id];
	cpu[id].id = id;
	assert_int_equal(syscall(SYS_arch_prctl, ARCH_SET_GS, &cpu[id]), 0);
}

void irq_send(u32 id, int vector)
{
	if (vector == VECTOR_SHOOTDOWN)
		asked[id]++;
	else
		kicked[id]++;
}

void irq_set_fixed(int vector, void (*handler)(void *arg), void *arg)
{
	(void)arg;
	assert_int_equal(vector, VECTOR_SHOOTDOWN);
	shoot = handler;
}

static struct memory d;
static struct nested_tlb tlb[5];
static bool woken;

static void wake(void *arg)
{
	(void)arg;
	woken = true;
}

static void mark(void *arg)
{
	*(bool *)arg = true;
}

/* CPU `id` takes its interrupt, after the exit that it has caused. */
static void answer(u32 id)
{
	for (u32 i = 0; i < ARRAY_SIZE(tlb); i++)
		if (tlb[i].cpu == id)
			tlb[i].in_guest = false;
	on(id);
	asked[id] = 0;
	shoot(NULL);
	on(0);
	vtd_settle();
}

/* vCPUs on CPUs 0, 1, 1, 2 and 3; the caller is on CPU 0. */
static void start(bool devices)
{
	static const u32 places[] = { 0, 1, 1, 2, 3 };
	gfn_t gfn = 0;

	memset(&d, 0, sizeof(d));
	memset(asked, 0, sizeof(asked));
	memset(kicked, 0, sizeof(kicked));
	assert_int_equal(memory_init(&d, 1, "d", wake, NULL), 0);
	for (u32 i = 0; i < ARRAY_SIZE(tlb); i++) {
		tlb[i] = (struct nested_tlb){ .cpu = places[i], .in_guest = i > 0 };
		nested_add_tlb(&d.nested, &tlb[i]);
	}
	assert_int_equal(memory_build(&d, FRAMES << PAGE_SHIFT), 0);
	while (devices && memory_map_for_devices(&d, &gfn))
		vtd_settle();
	assert_int_equal(iommu_attach(d.iommu, VTD_DEVICE_0, 0), 0);
	vtd_settle();
}

static void finish(void)
{
	bool detached = false, gone = false;
	gfn_t gfn = 0;

	iommu_detach(VTD_DEVICE_0, mark, &detached);
	vtd_settle();
	assert_true(detached);
	iommu_domain_destroy(d.iommu, mark, &gone);
	vtd_settle();
	assert_true(gone);
	while (memory_empty_step(&d, &gfn))
		;
	assert_int_equal(d.pages_owned, 0);
	nested_free(&d.nested);
}

static void all_must_answer(void **state)
{
	(void)state;
	for (u32 round = 0; round < 4; round++) {
		bool devices = round & 1, superpage = round & 2;
		u64 nr = superpage ? 512 : 3, generation;

		start(devices);
		/* One is not in the guest, and needs not answer: it will enter with a flush. */
		tlb[4].in_guest = false;
		generation = d.nested.generation;
		assert_int_equal(memory_release(&d, 512, nr), nr);
		assert_true(d.nested.generation > generation);
		vtd_settle();
		assert_int_equal(asked[0], 0);
		assert_int_equal(asked[1], 1);
		assert_int_equal(asked[2], 1);
		assert_int_equal(asked[3], 0);
		assert_int_equal(d.pages_owned, FRAMES);
		assert_int_equal(memory_populate(&d, 512, nr), -EAGAIN);
		answer(2);
		assert_int_equal(d.pages_owned, FRAMES);
		/* A call that must wait wakes nobody, least of all its own vCPU. */
		woken = false;
		assert_int_equal(memory_populate(&d, 512, nr), -EAGAIN);
		assert_false(woken);
		answer(1);
		assert_int_equal(d.pages_owned, FRAMES - nr);
		assert_true(woken);
		assert_int_equal(memory_populate(&d, 512, nr), nr);
		finish();
	}
}

/* Whichever vCPU is the only one in the guest: its CPU must answer. */
static void each_by_itself(void **state)
{
	(void)state;
	for (u32 i = 1; i < ARRAY_SIZE(tlb); i++) {
		start(true);
		for (u32 k = 0; k < ARRAY_SIZE(tlb); k++)
			tlb[k].in_guest = k == i;
		assert_int_equal(memory_release(&d, 512, 1), 1);
		vtd_settle();
		for (u32 id = 0; id < CPUS; id++)
			assert_int_equal(asked[id], id == tlb[i].cpu);
		assert_int_equal(d.pages_owned, FRAMES);
		answer(tlb[i].cpu);
		assert_int_equal(d.pages_owned, FRAMES - 1);
		finish();
	}
}

/* Several batches wait for one CPU, whose one interrupt answers all. */
static void one_answer_for_many(void **state)
{
	(void)state;
	start(true);
	for (u32 i = 0; i < 8; i++)
		assert_int_equal(memory_release(&d, 512 + 64 * i, 1), 1);
	vtd_settle();
	answer(1);
	answer(3);
	assert_int_equal(d.pages_owned, FRAMES);
	answer(2);
	assert_int_equal(d.pages_owned, FRAMES - 8);
	/* A request that nobody has made is none. */
	answer(1);
	finish();
}

/* More batches than a domain has: the rest waits, and nothing is lost. */
static void no_batch_is_left(void **state)
{
	u64 given = 0;

	(void)state;
	start(false);
	while (memory_release(&d, 512 + 2 * given, 1) == 1)
		given++;
	assert_in_range(given, 8, 16);
	assert_int_equal(memory_release(&d, 512 + 2 * given, 1), -EAGAIN);
	for (u32 id = 1; id < CPUS; id++)
		answer(id);
	assert_int_equal(d.pages_owned, FRAMES - given);
	assert_int_equal(memory_release(&d, 512 + 2 * given, 1), 1);
	/* Nobody is in the guest now. */
	vtd_settle();
	assert_int_equal(d.pages_owned, FRAMES - given - 1);
	finish();
}

static void kicks_wait_for_nobody(void **state)
{
	u64 generation;

	(void)state;
	start(false);
	d.nested.generation++;
	generation = d.nested.generation;
	assert_false(shootdown_done(&d.nested, generation));
	shootdown_kick(&d.nested);
	for (u32 id = 0; id < CPUS; id++)
		assert_int_equal(kicked[id], id == 1 ? 2 : id > 0);
	for (u32 i = 1; i < ARRAY_SIZE(tlb); i++) {
		assert_false(shootdown_done(&d.nested, generation));
		/* It enters again, with a flush. */
		tlb[i].generation = generation;
	}
	assert_true(shootdown_done(&d.nested, generation));
	finish();
}

/* Once for all tests: the requests stay allocated. */
static int start_machine(void **state)
{
	(void)state;
	nested_format = &test_format;
	on(0);
	return !vtd_start(&(const struct vtd_config){ 0 }) || !shootdown_init();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_must_answer),	 cmocka_unit_test(each_by_itself),
		cmocka_unit_test(one_answer_for_many),	 cmocka_unit_test(no_batch_is_left),
		cmocka_unit_test(kicks_wait_for_nobody),
	};

	return cmocka_run_group_tests(tests, start_machine, NULL);
}
