/* sources: kernel/guest/loader/load.c kernel/guest/loader/elf.c kernel/guest/loader/layout.c
 * sources: kernel/guest/loader/ramdisk.c kernel/guest/loader/startinfo.c
 * sources: kernel/guest/loader/multiboot1.c kernel/guest/loader/pvh.c
 * sources: kernel/guest/loader/linux.c kernel/guest/memory/guestmap.c kernel/lib/rangeset.c */
/* PVH kernels: the start information as a kernel reads it, each refusal, and damaged files. */
#include "guest_check.h"

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
		assert_string_equal(protocol, "PVH");
	}
	return err;
}

/* A kernel with a Xen note; the second segment is at 1 MiB with 6000 bytes in the file, 9000 in
 * memory. */
static u8 *make_kernel(bool is64, const u32 *note, u32 note_len, u64 *len)
{
	struct made_segment s[] = {
		{ 4, 0, 0, note_len, 0, 4, (const u8 *)note },
		{ 1, 0xffffffff81000000, 0x100000, 6000, 9000, 4096, NULL },
	};

	return make_elf(is64, 0x100000, s, 2, len);
}

static const u32 note4[] = { 4, 4, 18, 0x6e6558, 0x100010 };
static const u32 note8[] = { 4, 8, 18, 0x6e6558, 0x100010, 0 };

static void test_loads(void **state)
{
	static const u8 disk[2][7000] = { { 1, [6999] = 2 }, { 3, [6999] = 4 } };
	const struct guest_module module[] = { { disk[0], 7000, "initrd" }, { disk[1], 5000, "" } };

	(void)state;
	for (int i = 0; i < 8; i++) {
		struct guest_image image = { .module = module,
					     .nr_modules = i % 3,
					     .command_line = "console=hvc0 x",
					     .ram = 4 << 20 };
		u64 len;
		bool long_note = i & 4;
		u8 *file = make_kernel(i & 1, long_note ? note8 : note4,
				       long_note ? sizeof(note8) : sizeof(note4), &len);

		image.kernel = file;
		image.kernel_len = len;
		assert_int_equal(load(&image), 0);
		assert_int_equal(entry.eip, 0x100010);
		check_start_info(&f, &image, &entry);
		assert_memory_equal(f.ram + 0x100000, file + len - 6000, 6000);
		assert_true(all_bytes(f.ram + 0x100000 + 6000, 3000, 0));
		free(file);
	}
}

static void expect_refused(const u32 *note, u32 note_len, u64 ram, int err, const char *why)
{
	struct guest_image image = { .command_line = "", .ram = ram };
	u64 len;
	u8 *file = make_kernel(true, note, note_len, &len);

	image.kernel = file;
	image.kernel_len = len;
	assert_int_equal(load(&image), err);
	if (!strstr(e.text, why))
		fail_msg("message \"%s\" does not contain \"%s\"", e.text, why);
	free(file);
}

static void test_messages(void **state)
{
	static const u32 outside[] = { 4, 4, 18, 0x6e6558, 0x100000 + 6000 };
	static const u32 high[] = { 4, 8, 18, 0x6e6558, 0x100010, 1 };
	static const u32 odd[] = { 4, 3, 18, 0x6e6558, 0x100010 };
	static const u32 none[] = { 4, 0, 18, 0x6e6558 };
	static const u32 other[] = { 4, 4, 17, 0x6e6558, 0x100010 };

	(void)state;
	expect_refused(outside, sizeof(outside), 4 << 20, -EINVAL, "lies in no segment");
	expect_refused(high, sizeof(high), 4 << 20, -EINVAL, "PVH entry 100100010");
	expect_refused(odd, sizeof(odd), 4 << 20, -EINVAL, "3 bytes, not 4 or 8");
	expect_refused(none, sizeof(none), 4 << 20, -EINVAL, "0 bytes, not 4 or 8");
	expect_refused(other, sizeof(other), 4 << 20, -ENOENT, "without a PVH entry");
	expect_refused(note4, sizeof(note4), (1 << 20) + 8192, -ENOSPC, "give more mem=");
}

static void test_cut_and_damaged(void **state)
{
	u64 len;
	u8 *file = make_kernel(true, note4, sizeof(note4), &len);
	struct guest_image image = { .command_line = "", .ram = 2 << 20 };

	(void)state;
	srand(test_seed());
	for (u64 cut = 0; cut < len; cut++) {
		u8 *copy = memcpy(malloc(cut ? cut : 1), file, cut);

		image.kernel = copy;
		image.kernel_len = cut;
		assert_true(load(&image) < 0);
		free(copy);
	}
	for (int round = 0; round < 20000; round++) {
		u8 *copy = memcpy(malloc(len), file, len);
		int err;

		for (int k = 1 + rand() % 3; k > 0; k--)
			copy[rand() % 220] = rand() % 2 ? rand() : (rand() % 2 ? 0xff : 0);
		image.kernel = copy;
		image.kernel_len = len;
		err = load(&image);
		assert_true(!err || err == -EINVAL || err == -ENOENT || err == -ENOSPC);
		free(copy);
	}
	free(file);
}

static int failing_write(void *ctx, gpaddr_t gpa, const void *src, size_t len)
{
	u32 *left = ctx;

	(void)gpa, (void)src, (void)len;
	return (*left)-- ? 0 : -EFAULT;
}

static int failing_zero(void *ctx, gpaddr_t gpa, u64 len)
{
	return failing_write(ctx, gpa, NULL, len);
}

/* Each write may be the one that fails: every failure is reported. */
static void test_memory_that_fails(void **state)
{
	static const u8 disk[10] = { 1 };
	const struct guest_module module = { disk, sizeof(disk), "m" };
	struct guest_image image = {
		.module = &module, .nr_modules = 1, .command_line = "", .ram = 2 << 20
	};
	const char *protocol;
	u64 len;
	u8 *file = make_kernel(true, note4, sizeof(note4), &len);
	u32 n = 0, left;

	(void)state;
	image.kernel = file;
	image.kernel_len = len;
	do {
		struct guest_memory memory = { &left, failing_write, failing_zero };

		left = n;
		memset(&e, 0x7f, sizeof(e));
		if (!guest_load(&image, &memory, &entry, &protocol, &e))
			break;
		check_message(&e);
		assert_non_null(strstr(e.text, "cannot be written"));
	} while (++n < 100);
	assert_in_range(n, 8, 20);
	free(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_loads),
		cmocka_unit_test(test_messages),
		cmocka_unit_test(test_cut_and_damaged),
		cmocka_unit_test(test_memory_that_fails),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	fixture_free(&f);
	return failed;
}
