/* sources: kernel/guest/lifecycle/modules.c kernel/guest/lifecycle/moduleload.c
 * sources: kernel/guest/loader/modline.c
 * sources: kernel/lib/pci_id.c kernel/guest/loader/load.c kernel/guest/loader/elf.c
 * sources: kernel/guest/loader/layout.c kernel/guest/loader/ramdisk.c
 * sources: kernel/guest/loader/startinfo.c kernel/guest/loader/multiboot1.c
 * sources: kernel/guest/loader/pvh.c kernel/guest/loader/linux.c
 * sources: kernel/guest/memory/guestmap.c kernel/lib/rangeset.c */
/* The files of domains: loading in steps has the same result as loading at once, and their memory
 * is freed exactly once. */
#include "test.h"

#include <boot/multiboot2.h>
#include <kernel/mm/alloc.h>
#include <kernel/guest/domain/domain.h>
#include <kernel/lib/errno.h>
#include <kernel/guest/loader/load.h>
#include <kernel/guest/memory/guestcopy.h>
#include <kernel/guest/memory/memory.h>
#include <kernel/guest/lifecycle/moduleload.h>
#include <kernel/guest/lifecycle/modules.h>
#include <kernel/core/paging.h>

#define RAM (32UL << 20)
#define KERNEL_SIZE (5UL << 20)
#define BSS (3UL << 20)
#define LOAD 0x200000u

static u8 ram[2][RAM];
static u8 *guest;
static u64 moved; /* bytes written and cleared since the step began */

void *phys_to_virt(paddr_t pa)
{
	return (void *)pa;
}

paddr_t virt_to_phys(const void *va)
{
	return (paddr_t)va;
}

int guest_write(struct memory *m, gpaddr_t gpa, const void *buf, size_t len)
{
	(void)m;
	assert_true(gpa < RAM && len <= RAM - gpa);
	memcpy(guest + gpa, buf, len);
	moved += len;
	return 0;
}

int guest_zero(struct memory *m, gpaddr_t gpa, u64 len)
{
	(void)m;
	assert_true(gpa < RAM && len <= RAM - gpa);
	memset(guest + gpa, 0, len);
	moved += len;
	return 0;
}

#define FILES 5
#define FRAMES_MAX 8192

static u8 *file[FILES];
static u8 freed[FILES][FRAMES_MAX];

void alloc_add(mfn_t mfn, u64 nr)
{
	for (u64 n = 0; n < nr; n++) {
		u8 *at = (u8 *)((mfn + n) << PAGE_SHIFT);
		u32 i = 0;

		while (at < file[i] || at >= file[i] + FRAMES_MAX * PAGE_SIZE)
			assert_true(++i < FILES);
		freed[i][(at - file[i]) >> PAGE_SHIFT]++;
	}
}

static struct boot_info info;
static struct domain a = { .id = 1, .name = "a" }, b = { .id = 2, .name = "b" };

static void add_file(u64 size, const char *line)
{
	u32 i = info.nr_modules++;

	if (!file[i])
		file[i] = aligned_alloc(PAGE_SIZE, FRAMES_MAX * PAGE_SIZE);
	assert_non_null(file[i]);
	for (u64 n = 0; n < size; n++)
		file[i][n] = (u8)(rand() | 1);
	info.module[i] = (struct boot_module){ (paddr_t)file[i], (paddr_t)file[i] + size, line };
}

/* A Multiboot kernel with address fields, and a bss that must be cleared. */
static void make_kernel(u8 *at)
{
	u32 header[8] = {
		0x1badb002, 1u << 16, 0, LOAD, LOAD, LOAD + KERNEL_SIZE, LOAD + KERNEL_SIZE + BSS,
		LOAD + 64
	};

	header[2] = -(header[0] + header[1]);
	memcpy(at, header, sizeof(header));
}

static int setup(void **state)
{
	(void)state;
	info.nr_modules = 0;
	add_file(KERNEL_SIZE, "kernel name=a mem=32M -- of a");
	add_file(3 * 1024 * 1024 + 77, "ramdisk=a -- first");
	add_file(0, "ramdisk=a");
	add_file(KERNEL_SIZE, "kernel name=b mem=32M restart=never");
	add_file(12345, "ramdisk=c");
	make_kernel(file[0]);
	make_kernel(file[3]);
	memset(freed, 0, sizeof(freed));
	assert_int_equal(modules_init(&info), FILES);
	for (u32 i = 0; i < FILES; i++) {
		assert_true(module_at(i)->valid);
		module_at(i)->used = module_at(i)->kept = false;
		module_at(i)->freed = 0;
	}
	a.kernel = module_at(0);
	b.kernel = module_at(3);
	return 0;
}

static int write_whole(void *ctx, gpaddr_t gpa, const void *src, size_t len)
{
	return guest_write(ctx, gpa, src, len);
}

static int zero_whole(void *ctx, gpaddr_t gpa, u64 len)
{
	return guest_zero(ctx, gpa, len);
}

/* Domain a's files, loaded in steps and at once. */
static void load_whole(struct guest_entry *entry)
{
	const struct guest_memory memory = { &a.vm.memory, write_whole, zero_whole };
	const struct guest_module ramdisk[] = {
		{ file[1], module_size(module_at(1)), module_at(1)->line.command_line },
		{ file[2], 0, "" },
	};
	const struct guest_image image = {
		.kernel = file[0],
		.kernel_len = KERNEL_SIZE,
		.module = ramdisk,
		.nr_modules = 2,
		.name = a.name,
		.command_line = module_at(0)->line.command_line,
		.ram = module_at(0)->line.memory,
	};
	struct loader_error error;
	const char *protocol;

	assert_int_equal(guest_load(&image, &memory, entry, &protocol, &error), 0);
}

static void in_parts(void **state)
{
	struct guest_entry whole, parts;
	u64 done = 0, total, largest = 0;
	u32 steps = 0;
	int ret;

	(void)state;
	memset(ram, 0xcc, sizeof(ram));
	guest = ram[0];
	moved = 0;
	load_whole(&whole);
	total = moved;
	assert_true(total > KERNEL_SIZE + BSS + (3 << 20));

	guest = ram[1];
	do {
		moved = 0;
		ret = module_load_step(&a, &done, &parts);
		assert_in_range(ret, 0, 1);
		largest = MAX(largest, moved);
		total -= moved;
		steps++;
	} while (ret);
	assert_memory_equal(ram[0], ram[1], RAM);
	assert_memory_equal(&whole, &parts, sizeof(whole));
	/* Each byte once, and a bounded number per step. */
	assert_int_equal(total, 0);
	assert_in_range(largest, 128 << 10, 256 << 10);
	assert_in_range(steps, 40, 64);
	assert_int_equal(module_load_step(&a, &done, &parts), 0);
}

static void check_freed(u32 i, u64 size, u8 times)
{
	for (u64 n = 0; n < FRAMES_MAX; n++)
		assert_int_equal(freed[i][n], n < (size + PAGE_SIZE - 1) >> PAGE_SHIFT ? times : 0);
}

static void free_all(struct domain *d)
{
	u32 steps = 0;

	while (modules_free_step(d))
		assert_true(++steps < 100);
}

static void free_others(void)
{
	u32 steps = 0;

	while (modules_free_others_step())
		assert_true(++steps < 100);
}

static void check_all_freed_once(void)
{
	check_freed(0, KERNEL_SIZE, 1);
	check_freed(1, 3 * 1024 * 1024 + 77, 1);
	check_freed(2, 0, 1);
	check_freed(3, KERNEL_SIZE, 1);
	check_freed(4, 12345, 1);
}

static void kept_until_the_domain_ends(void **state)
{
	(void)state;
	modules_keep(&a);
	free_others();
	check_freed(0, KERNEL_SIZE, 0);
	check_freed(1, 3 * 1024 * 1024 + 77, 0);
	check_freed(3, KERNEL_SIZE, 1);
	free_all(&b);
	free_all(&a);
	check_all_freed_once();
	free_all(&a);
	check_all_freed_once();
}

/* A domain may run, and end, while others are still being built. */
static void ends_before_boot_does(void **state)
{
	(void)state;
	modules_keep(&a);
	free_all(&a);
	free_others();
	check_all_freed_once();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(in_parts, setup),
		cmocka_unit_test_setup(kept_until_the_domain_ends, setup),
		cmocka_unit_test_setup(ends_before_boot_does, setup),
	};

	srand(test_seed());
	return cmocka_run_group_tests(tests, NULL, NULL);
}
