/* A domain of 64 GiB is built, cleared, mapped for a device, given back and ended, in steps: no
 * step touches more than a few MiB of it. The host provides the records of the frames, but not
 * their contents: clearing them is only counted.
 *
 * sources: $(IOMMU_SRCS) $(MEMORY_SRCS)
 * libs: $(IOMMU_LIBS) -Wl,--wrap=memset -Wl,--wrap=frame_set
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <iommu/iommu.h>
#include <kernel/core/paging.h>
#include <kernel/guest/memory/devicemap.h>
#include <kernel/guest/memory/memrelease.h>
#include <kernel/guest/memory/pool.h>
#include <kernel/guest/memory/shootdown.h>
#include <kernel/lib/errno.h>
#include <kernel/lib/string.h>
#include <kernel/mm/frame.h>
#include <tests/unit/memory_alone.h>
#include <tests/unit/memory_build.h>
#include <tests/unit/nested_format.h>
#include <tests/unit/vtd_check.h>

#include <cmocka.h>

#define GIB (1UL << 18) /* in frames */
#define SIZE (64 * GIB)
#define FIRST MACHINE_FRAMES /* of the memory that the allocator gets */
#define ROOM (SIZE + GIB)
#define OWNER 1

static struct memory d;
static u8 cleared[ROOM]; /* by frame from FIRST on: how often */
static bool reachable; /* the device reaches its memory */

/* --- what a step touches -------------------------------------------------- */

static struct touched {
	u64 cleared, typed, tables; /* frames; the last two are frames whose type was changed */
} step, most;

/* A step ends, or interrupts are taken in it. */
void irq_window(void)
{
	alloc_step_window();
	most.cleared = MAX(most.cleared, step.cleared);
	most.typed = MAX(most.typed, step.typed);
	most.tables = MAX(most.tables, step.tables);
	step = (struct touched){ 0 };
}

int __real_frame_set(mfn_t mfn, unsigned int order, enum frame_type type, u16 owner);
int __wrap_frame_set(mfn_t mfn, unsigned int order, enum frame_type type, u16 owner);
int __wrap_frame_set(mfn_t mfn, unsigned int order, enum frame_type type, u16 owner)
{
	if (type == FRAME_FREE || type == FRAME_RAM)
		step.typed += BIT(order);
	else
		step.tables += BIT(order);
	return __real_frame_set(mfn, order, type, owner);
}

void *__real_memset(void *to, int byte, size_t n);
void *__wrap_memset(void *to, int byte, size_t n);
void *__wrap_memset(void *to, int byte, size_t n)
{
	struct frame_info f;
	mfn_t mfn;

	if (!d.owner || !machine_has(to) || !frame_query(virt_to_mfn(to), &f) || f.owner != OWNER ||
	    f.type != FRAME_RAM)
		return __real_memset(to, byte, n);
	mfn = virt_to_mfn(to);
	assert_false(byte || reachable || n % PAGE_SIZE || virt_to_phys(to) % PAGE_SIZE);
	assert_in_range(mfn, FIRST, FIRST + ROOM - 1);
	step.cleared += n / PAGE_SIZE;
	for (u64 i = 0; i < n / PAGE_SIZE; i++)
		cleared[mfn - FIRST + i]++;
	return to;
}

/* --- what it calls -------------------------------------------------------- */

static void wake(void *arg)
{
	(void)arg;
}

static void mark(void *arg)
{
	*(bool *)arg = true;
}

/* --- the domain's life ---------------------------------------------------- */

static void settle(void)
{
	bool any;

	do {
		any = vtd_execute(0, ~0u);
		any |= vtd_interrupts();
		for (irq_window(); vtd_work(); irq_window())
			any = true;
	} while (any);
}

static void build(void)
{
	gfn_t gfn = 0;
	u64 n = 0;
	int ret;

	assert_int_equal(memory_build(&d, SIZE << PAGE_SHIFT), 0);
	irq_window();
	assert_int_equal(d.pages_owned, SIZE);
	/* All of it is clear before a device may reach any. */
	for (u64 i = 0; i < ROOM; i++) {
		struct frame_info f;

		if (!frame_query(FIRST + i, &f) || f.type != FRAME_RAM)
			continue;
		assert_int_equal(cleared[i], 1);
		n++;
	}
	assert_int_equal(n, SIZE);
	reachable = true;
	for (; (ret = memory_map_for_devices(&d, &gfn)) != STEP_DONE; irq_window())
		assert_int_equal(ret, STEP_MORE);
	assert_int_equal(iommu_attach(d.iommu, VTD_DEVICE_0, 0), 0);
	settle();
}

static void reach(gfn_t gfn, u64 nr, bool expected)
{
	for (gfn_t at = gfn; at < gfn + nr; at += 4096 + 511) {
		mfn_t seen;

		assert_int_equal(vtd_dma(VTD_DEVICE_0, at, &seen), expected);
	}
}

/* By batches, as a balloon does it. */
static void give_back(gfn_t gfn, u64 nr)
{
	for (u64 done = 0; done < nr; irq_window()) {
		s64 ret = memory_release(&d, gfn + done, nr - done);

		if (ret == -EAGAIN) {
			settle();
			continue;
		}
		assert_in_range(ret, 1, nr - done);
		done += (u64)ret;
	}
	settle();
}

static void end(void)
{
	bool detached = false, gone = false;
	gfn_t gfn = 0;

	iommu_detach(VTD_DEVICE_0, mark, &detached);
	settle();
	assert_true(detached);
	iommu_domain_destroy(d.iommu, mark, &gone);
	settle();
	assert_true(gone);
	do
		irq_window();
	while (memory_empty_step(&d, &gfn));
	irq_window();
	assert_int_equal(d.pages_owned, 0);
	memory_free(&d);
}

static void live(const struct vtd_config *config)
{
	u64 before;

	assert_true(vtd_start(config));
	nested_format = &test_format;
	alloc_add(FIRST, ROOM);
	before = alloc_free_frames();
	d = (struct memory){ 0 };
	memset(cleared, 0, sizeof(cleared));
	assert_int_equal(memory_init(&d, OWNER, "d", wake, NULL), 0);
	most = step = (struct touched){ 0 };
	reachable = false;
	build();
	reach(0, 3 * GIB, true);
	reach(8 * GIB, 56 * GIB, true);
	give_back(16 * GIB, 32 * GIB);
	assert_int_equal(d.pages_owned, SIZE / 2);
	reach(16 * GIB, 32 * GIB, false);
	reach(8 * GIB, 8 * GIB, true);
	end();
	/* All frames but a context table, and what the slabs keep. */
	assert_in_range(before - alloc_free_frames(), 0, 40);
	print_message("one step: %lu frames cleared, %lu taken or freed, %lu of tables\n",
		      most.cleared, most.typed, most.tables);
	assert_int_equal(most.cleared, CLEAR_STEP);
	assert_in_range(most.typed, BIT(ORDER_2M), STEP_FREES_FRAMES);
	assert_in_range(most.tables, 1, STEP_FREES_BLOCKS);
	vtd_stop();
}

static void leaves_of_1_gib(void **state)
{
	(void)state;
	live(&(struct vtd_config){ .frames = FIRST + ROOM });
}

static void leaves_of_2_mib(void **state)
{
	(void)state;
	live(&(struct vtd_config){ .frames = FIRST + ROOM, .cap_clear = CAP_SLLPS_1G });
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(leaves_of_1_gib),
		cmocka_unit_test(leaves_of_2_mib),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
