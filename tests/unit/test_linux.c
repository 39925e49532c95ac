/* sources: kernel/guest/loader/load.c kernel/guest/loader/elf.c kernel/guest/loader/layout.c
 * sources: kernel/guest/loader/ramdisk.c kernel/guest/loader/startinfo.c
 * sources: kernel/guest/loader/multiboot1.c kernel/guest/loader/pvh.c
 * sources: kernel/guest/loader/linux.c kernel/guest/memory/guestmap.c kernel/lib/rangeset.c */
/* Linux' bzImage: the zero page as a kernel reads it, each refusal, and damaged files. */
#include "guest_check.h"

#define SETUP_SECTS 3
#define SETUP_SIZE ((SETUP_SECTS + 1) * 512UL)
#define PAYLOAD 10000
#define PREFERRED 0x200000
#define INIT_SIZE 0x20000

static struct fixture f;
static struct loader_error e;
static struct guest_entry entry;

static int load(const struct guest_image *image)
{
	const char *protocol;
	struct guest_memory memory;
	int err;

	fixture_init(&f, image->ram);
	memory = fixture_memory(&f);
	memset(&e, 0x7f, sizeof(e));
	err = guest_load(image, &memory, &entry, &protocol, &e);
	if (err) {
		check_message(&e);
		assert_int_equal(f.writes, 0);
	} else {
		assert_string_equal(protocol, "Linux");
	}
	return err;
}

static void set(u8 *file, u32 offset, u64 value, u32 size)
{
	memcpy(file + offset, &value, size);
}

/* Like Debian's kernels, but small. */
static void make_kernel(u8 file[SETUP_SIZE + PAYLOAD])
{
	for (u32 i = 0; i < SETUP_SIZE + PAYLOAD; i++)
		file[i] = (u8)(i * 13 + 7);
	memset(file + 0x1f1, 0, 0x290 - 0x1f1);
	set(file, 0x1f1, SETUP_SECTS, 1);
	set(file, 0x1f4, (PAYLOAD + 15) / 16, 4);
	set(file, 0x1fe, 0xaa55, 2);
	set(file, 0x200, 0x6aeb, 2); /* the header ends at 0x26c */
	set(file, 0x202, 0x53726448, 4);
	set(file, 0x206, 0x20f, 2);
	set(file, 0x211, 1, 1);
	set(file, 0x214, 0x100000, 4);
	set(file, 0x22c, 0x7fffffff, 4);
	set(file, 0x230, 0x200000, 4);
	set(file, 0x234, 1, 1);
	set(file, 0x236, 0x7f, 2);
	set(file, 0x238, 2047, 4);
	set(file, 0x250, 0x1234567, 8); /* setup_data is for the loader to set */
	set(file, 0x258, PREFERRED, 8);
	set(file, 0x260, INIT_SIZE, 4);
	set(file, 0x264, 0xabcd, 4); /* newer than any version that Weir knows */
}

static void test_loads(void **state)
{
	static const u8 disk[7000] = { 1, [6999] = 2 };
	const struct guest_module module = { disk, sizeof(disk), "not for Linux" };
	static u8 file[SETUP_SIZE + PAYLOAD];
	struct guest_image image = { .kernel = file,
				     .kernel_len = sizeof(file),
				     .module = &module,
				     .command_line = "console=ttyS0 x",
				     .ram = 4 << 20 };

	(void)state;
	make_kernel(file);
	for (image.nr_modules = 0; image.nr_modules < 2; image.nr_modules++) {
		assert_int_equal(load(&image), 0);
		assert_int_equal(entry.eip, PREFERRED);
		check_zero_page(&f, &image, &entry);
		assert_int_equal(guest_u32(&f, entry.esi + 0x264), 0xabcd);
		assert_memory_equal(f.ram + PREFERRED, file + SETUP_SIZE, PAYLOAD);
	}
}

/* After the paragraphs that the header counts: a signature, which is loaded if there is room. */
static void test_more_than_the_header_counts(void **state)
{
	static u8 file[SETUP_SIZE + PAYLOAD];
	struct guest_image image = {
		.kernel = file, .kernel_len = sizeof(file), .command_line = "", .ram = 4 << 20
	};

	(void)state;
	make_kernel(file);
	set(file, 0x1f4, 500, 4);
	assert_int_equal(load(&image), 0);
	assert_memory_equal(f.ram + PREFERRED, file + SETUP_SIZE, PAYLOAD);
	set(file, 0x260, 8000, 4);
	assert_int_equal(load(&image), 0);
	assert_memory_equal(f.ram + PREFERRED, file + SETUP_SIZE, 8000);
	assert_true(all_bytes(f.ram + PREFERRED + 8000, 1000, FILL));
}

/* A kernel that cannot be moved is loaded where it wants to be, as all others. */
static void test_not_relocatable(void **state)
{
	static u8 file[SETUP_SIZE + PAYLOAD];
	struct guest_image image = {
		.kernel = file, .kernel_len = sizeof(file), .command_line = "", .ram = 4 << 20
	};

	(void)state;
	make_kernel(file);
	set(file, 0x234, 0, 1);
	assert_int_equal(load(&image), 0);
	assert_int_equal(entry.eip, PREFERRED);
}

/* The kernels for i386 know the local APIC as it is after a reset. */
static void test_32_bit_kernel(void **state)
{
	static u8 file[SETUP_SIZE + PAYLOAD];
	struct guest_image image = {
		.kernel = file, .kernel_len = sizeof(file), .command_line = "", .ram = 4 << 20
	};

	(void)state;
	make_kernel(file);
	assert_int_equal(load(&image), 0);
	assert_true(entry.x2apic);
	set(file, 0x236, 0x7e, 2);
	assert_int_equal(load(&image), 0);
	assert_false(entry.x2apic);
}

static void test_ramdisk_stays_where_the_kernel_reaches(void **state)
{
	static const u8 disk[7000] = { 1, [6999] = 2 };
	const struct guest_module module = { disk, sizeof(disk), "" };
	static u8 file[SETUP_SIZE + PAYLOAD];
	struct guest_image image = { .kernel = file,
				     .kernel_len = sizeof(file),
				     .module = &module,
				     .nr_modules = 1,
				     .command_line = "",
				     .ram = 4 << 20 };

	(void)state;
	make_kernel(file);
	set(file, 0x22c, 0x300fff, 4);
	assert_int_equal(load(&image), 0);
	assert_int_equal(guest_u32(&f, entry.esi + 0x218), 0x2ff000);
	set(file, 0x22c, 0x10fff, 4);
	assert_int_equal(load(&image), -ENOSPC);
	assert_non_null(strstr(e.text, "ramdisk 0 of 7 KiB does not fit below 68 KiB"));
	assert_non_null(strstr(e.text, "more mem= does not help"));
	/* It is too large for the whole memory, too: that is not the kernel's limit. */
	set(file, 0x22c, 0x7fffffff, 4);
	image.module = &(const struct guest_module){ disk, 5 << 20, "" };
	assert_int_equal(load(&image), -ENOSPC);
	assert_non_null(strstr(e.text, "give more mem="));
}

/* The setup headers of programs that only look like a kernel. */
static void test_16_bit_entry(void **state)
{
	static u8 file[SETUP_SIZE + PAYLOAD];
	struct guest_image image = {
		.kernel = file, .kernel_len = sizeof(file), .command_line = "", .ram = 4 << 20
	};

	(void)state;
	/* memdisk has boot protocol 2.03, and counts no paragraphs. */
	make_kernel(file);
	set(file, 0x206, 0x203, 2);
	set(file, 0x1f4, 0, 4);
	assert_int_equal(load(&image), -EINVAL);
	assert_non_null(strstr(e.text, "only a 16-bit entry"));
	/* ipxe.lkrn has 2.07, and no code32_start. */
	make_kernel(file);
	set(file, 0x206, 0x207, 2);
	set(file, 0x214, 0, 4);
	assert_int_equal(load(&image), -EINVAL);
	assert_non_null(strstr(e.text, "it needs a PC's BIOS"));
	/* An old Linux has a 32-bit entry. */
	make_kernel(file);
	set(file, 0x206, 0x207, 2);
	assert_int_equal(load(&image), -EINVAL);
	assert_null(strstr(e.text, "BIOS"));
}

static void test_messages(void **state)
{
	static const struct {
		u32 offset, size;
		u64 value;
		int err;
		const char *why;
	} bad[] = {
		{ 0x1fe, 2, 0, -ENOENT, "no bzImage" },
		{ 0x202, 4, 0, -ENOENT, "no bzImage" },
		{ 0, 2, 0x8b1f, 0, "" }, /* a bzImage, whatever it begins with */
		{ 0x206, 2, 0x209, -EINVAL, "boot protocol 2.09" },
		{ 0x211, 1, 0, -EINVAL, "loadflags 0" },
		{ 0x1f1, 1, 255, -EINVAL, "truncated" },
		{ 0x1f4, 4, 0, -EINVAL, "truncated" },
		{ 0x1f4, 4, 626, -EINVAL, "truncated" },
		{ 0x1f4, 4, 0xffffffff, -EINVAL, "truncated" },
		{ 0x238, 4, 3, -EINVAL, "at most 3 bytes, and this one has 4" },
		{ 0x258, 8, 0x100000000, -EINVAL, "at 100000000" },
		{ 0x258, 8, 0xfffffffffffff000, -EINVAL, "cannot be right" },
		{ 0x258, 8, 0xfffff000, -ENOSPC, "give more mem=" },
		{ 0x258, 8, 0x3f0000, -ENOSPC, "needs 128 KiB at 3f0000" },
		{ 0x258, 8, 0x9f000, -ENOSPC, "give more mem=" },
		{ 0x260, 4, 9999, -EINVAL, "asks for 9999 bytes" },
		{ 0x260, 4, 0xffffffff, -ENOSPC, "give more mem=" },
	};
	static const u8 disk[10];
	const struct guest_module modules[] = { { disk, 10, "" }, { disk, 10, "" } };
	static u8 file[SETUP_SIZE + PAYLOAD];
	struct guest_image image = { .kernel = file,
				     .kernel_len = sizeof(file),
				     .module = modules,
				     .command_line = "four",
				     .ram = 4 << 20 };

	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(bad); i++) {
		make_kernel(file);
		set(file, bad[i].offset, bad[i].value, bad[i].size);
		e.text[0] = 0;
		if (load(&image) != bad[i].err || !strstr(e.text, bad[i].why))
			fail_msg("case %u: \"%s\"", i, e.text);
	}
	make_kernel(file);
	image.nr_modules = 2;
	assert_int_equal(load(&image), -EINVAL);
	assert_non_null(strstr(e.text, "2 ramdisks, but Linux takes one"));
}

/* The first bytes of a file that each program has written. */
static void test_compressed(void **state)
{
	static const struct {
		u8 begin[6];
		const char *name;
	} files[] = {
		{ { 0x1f, 0x8b, 8, 8, 0, 0 }, "gzip" },
		{ { 'B', 'Z', 'h', '9', '1', 'A' }, "bzip2" },
		{ { 0xfd, '7', 'z', 'X', 'Z', 0 }, "xz" },
		{ { 0x28, 0xb5, 0x2f, 0xfd, 4, 0x58 }, "zstd" },
		{ { 4, 0x22, 0x4d, 0x18, 0x64, 0x40 }, "lz4" },
		{ { 2, 0x21, 0x4c, 0x18, 0, 0 }, "lz4" },
		{ { 0x89, 'L', 'Z', 'O', 0, 13 }, "lzop" },
	};
	char expected[64];
	struct guest_image image = { .command_line = "", .ram = 4 << 20 };

	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(files); i++) {
		image.kernel = files[i].begin;
		image.kernel_len = sizeof(files[i].begin);
		assert_int_equal(load(&image), -ENOENT);
		snprintf(expected, sizeof(expected), "compressed by %s: unpack it", files[i].name);
		assert_non_null(strstr(e.text, expected));
		/* A piece of it could be anything. */
		image.kernel_len = 1;
		assert_int_equal(load(&image), -ENOENT);
		assert_null(strstr(e.text, "compressed"));
	}
}

static void test_cut_and_damaged(void **state)
{
	static u8 file[SETUP_SIZE + PAYLOAD];
	struct guest_image image = { .command_line = "", .ram = 4 << 20 };

	(void)state;
	srand(test_seed());
	make_kernel(file);
	for (u64 cut = 0; cut < sizeof(file) - 15; cut += cut < 0x300 ? 1 : 97) {
		u8 *copy = memcpy(malloc(cut ? cut : 1), file, cut);

		image.kernel = copy;
		image.kernel_len = cut;
		assert_true(load(&image) < 0);
		free(copy);
	}
	image.kernel_len = sizeof(file);
	for (int round = 0; round < 3000; round++) {
		u8 *copy = memcpy(malloc(sizeof(file)), file, sizeof(file));
		int err;

		for (int k = 1 + rand() % 3; k > 0; k--)
			copy[0x1f1 + rand() % 0x80] = rand() % 2 ? rand() : (rand() % 2 ? 0xff : 0);
		image.kernel = copy;
		err = load(&image);
		assert_true(!err || err == -EINVAL || err == -ENOENT || err == -ENOSPC);
		free(copy);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_loads),
		cmocka_unit_test(test_more_than_the_header_counts),
		cmocka_unit_test(test_not_relocatable),
		cmocka_unit_test(test_32_bit_kernel),
		cmocka_unit_test(test_ramdisk_stays_where_the_kernel_reaches),
		cmocka_unit_test(test_16_bit_entry),
		cmocka_unit_test(test_messages),
		cmocka_unit_test(test_compressed),
		cmocka_unit_test(test_cut_and_damaged),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	fixture_free(&f);
	return failed;
}
