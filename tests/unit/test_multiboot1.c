/* sources: kernel/guest/loader/load.c kernel/guest/loader/elf.c kernel/guest/loader/layout.c
 * sources: kernel/guest/loader/ramdisk.c kernel/guest/loader/startinfo.c
 * sources: kernel/guest/loader/multiboot1.c kernel/guest/loader/pvh.c
 * sources: kernel/guest/loader/linux.c kernel/guest/memory/guestmap.c kernel/lib/rangeset.c */
/* Multiboot kernels, by address fields and by ELF: the structures as a kernel reads them, each
 * refusal, and damaged files. The fields are read at the offsets in the specification, not through
 * the loader's own structs. */
#include "guest_check.h"

#define MAGIC 0x1badb002u

static struct fixture f;
static struct loader_error e;
static struct guest_entry entry;

static int load(const struct guest_image *image)
{
	struct guest_memory memory;
	int err;

	fixture_init(&f, image->ram);
	memory = fixture_memory(&f);
	memset(&e, 0x7f, sizeof(e));
	assert_true(multiboot1_protocol.recognize(image));
	err = multiboot1_protocol.load(image, &memory, &entry, &e);
	if (err) {
		check_message(&e);
		assert_int_equal(f.writes, 0);
	} else {
		assert_int_equal(entry.eax, 0x2badb002);
	}
	return err;
}

static void expect_refused(const struct guest_image *image, int err, const char *why)
{
	assert_int_equal(load(image), err);
	if (!strstr(e.text, why))
		fail_msg("message \"%s\" does not contain \"%s\"", e.text, why);
}

/* A flat kernel of `len` bytes with the header at `at`. */
static u8 *make_flat(u64 len, u64 at, u32 load_addr, u32 load_end, u32 bss_end, u32 entry_addr)
{
	u8 *file = malloc(len);
	u32 flags = 0x10003;
	u32 h[] = { MAGIC,     flags,	 -(MAGIC + flags), load_addr + at,
		    load_addr, load_end, bss_end,	   entry_addr };

	for (u64 i = 0; i < len; i++)
		file[i] = i * 13 + 5;
	memcpy(file + at, h, sizeof(h));
	return file;
}

static void test_small_field_kernel(void **state)
{
	/* Flags 0, no other header fields, ELF32 at 4 MiB with 12 MiB of bss, like small test
	 * kernels. */
	static const u32 header[] = { MAGIC, 0, -MAGIC };
	struct made_segment s[] = {
		{ 1, 0x400000, 0x400000, sizeof(header), sizeof(header), 4, (const u8 *)header },
		{ 1, 0x401000, 0x401000, 8000, 8000 + (12 << 20), 4, NULL },
	};
	static const u8 disk[10000] = { 1, 2, 3, [9999] = 4 };
	struct guest_module module = { disk, sizeof(disk), "first words" };
	struct guest_image image = { .module = &module,
				     .nr_modules = 1,
				     .name = "k0",
				     .command_line = "test --all",
				     .ram = 32 << 20 };
	u64 len;
	u8 *file = make_elf(false, 0x401004, s, 2, &len);

	(void)state;
	image.kernel = file;
	image.kernel_len = len;
	assert_int_equal(load(&image), 0);
	assert_int_equal(entry.eip, 0x401004);
	check_multiboot_information(&f, &image, &entry);
	assert_memory_equal(f.ram + 0x400000, header, sizeof(header));
	assert_true(all_bytes(f.ram + 0x401000 + 8000, 12 << 20, 0));
	/* 16 MiB hold the kernel but not all of its bss: the message gives the available size. */
	image.ram = 16 << 20;
	expect_refused(&image, -ENOSPC,
		       "12590912 bytes at 401000 are not all usable in 16384 KiB of RAM");
	image.ram = 17 << 20;
	assert_int_equal(load(&image), 0);
	check_multiboot_information(&f, &image, &entry);
	free(file);
}

static void test_elf_entry(void **state)
{
	static const u32 header[] = { MAGIC, 3, -(MAGIC + 3) };
	struct made_segment s[] = {
		{ 1, 0xffffffff80100000, 0x100000, 5000, 6000, 4096, NULL },
		{ 4, 0, 0, sizeof(header), 0, 4, (const u8 *)header },
	};
	struct guest_image image = { .name = "k0", .command_line = "", .ram = 4 << 20 };
	u64 len;

	(void)state;
	static const struct {
		u64 entry;
		int err;
		u32 eip;
	} cases[] = {
		{ 0xffffffff80100020, 0, 0x100020 }, /* virtual */
		{ 0x100020, 0, 0x100020 }, /* physical */
		{ 0xffffffff80100000 + 5500, -EINVAL, 0 }, /* in the bss */
		{ 0x200000, -EINVAL, 0 },
		{ 0x10000100020, -EINVAL, 0 },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		u8 *file = make_elf(true, cases[i].entry, s, 2, &len);

		image.kernel = file;
		image.kernel_len = len;
		assert_int_equal(load(&image), cases[i].err);
		if (!cases[i].err)
			assert_int_equal(entry.eip, cases[i].eip);
		free(file);
	}
}

static void test_flat(void **state)
{
	struct guest_image image = {
		.name = "k0", .command_line = "x", .ram = 8 << 20, .kernel_len = 20000
	};
	u8 *file = make_flat(20000, 1000, 0x200000, 0x200000 + 15000, 0x200000 + 30000,
			     0x200000 + 14999);

	(void)state;
	image.kernel = file;
	assert_int_equal(load(&image), 0);
	assert_int_equal(entry.eip, 0x200000 + 14999);
	assert_memory_equal(f.ram + 0x200000, file, 15000);
	assert_true(all_bytes(f.ram + 0x200000 + 15000, 15000, 0));
	assert_true(all_bytes(f.ram + 0x200000 + 30000, 1000, FILL));
	check_multiboot_information(&f, &image, &entry);
	free(file);
	/* No ends given: the whole file, no bss. The image may begin in the middle of the file. */
	image.kernel = file = make_flat(20000, 1000, 0x200000 + 500, 0, 0, 0x200000 + 500);
	*(u32 *)(file + 1012) = 0x200000 + 500 +
				100; /* header_addr: 100 bytes after the image begins */
	assert_int_equal(load(&image), 0);
	assert_memory_equal(f.ram + 0x200000 + 500, file + 900, 20000 - 900);
	free(file);
	/* Below 1 MiB: the start structures are placed elsewhere. */
	image.kernel = file = make_flat(20000, 0, 0x10000, 0, 0x9f000, 0x10000);
	assert_int_equal(load(&image), 0);
	assert_memory_equal(f.ram + 0x10000, file, 20000);
	assert_true(entry.ebx >= 0x100000);
	check_multiboot_information(&f, &image, &entry);
	free(file);
}

static void test_messages(void **state)
{
	struct guest_image image = {
		.name = "k0", .command_line = "", .ram = 8 << 20, .kernel_len = 20000
	};
	static const struct {
		u64 at, len;
		u32 load, load_end, bss_end, entry;
		int err;
		const char *why;
	} bad[] = {
		{ 0, 20000, 0x200000, 0x200000 + 20001, 0, 0x200000, -EINVAL,
		  "more than the file holds" },
		{ 0, 20000, 0x200000, 0x1fffff, 0, 0x200000, -EINVAL, "fix load_end_addr" },
		{ 0, 20000, 0x200000, 0, 0x200000 + 19999, 0x200000, -EINVAL, "fix bss_end_addr" },
		{ 0, 20000, 0x200000, 0, 0, 0x1fffff, -EINVAL, "fix entry_addr" },
		{ 0, 20000, 0x200000, 0, 0, 0x200000 + 20000, -EINVAL, "lies outside" },
		{ 0, 20000, 0x7ff000, 0, 0, 0x7ff000, -ENOSPC, "does not fit" },
		{ 0, 20000, 0x9f000, 0, 0, 0x9f000, -ENOSPC, "give more mem=" },
		{ 0, 20000, 0x200000, 0, 0xfffffff0, 0x200000, -ENOSPC, "does not fit" },
		{ 0, 20000, 0xfffff000, 0, 0, 0xfffff000, -ENOSPC, "does not fit" },
	};
	struct guest_module many[GUEST_MAX_MODULES + 1] = { { "", 0, "" } };
	u8 *file;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		image.kernel = file = make_flat(bad[i].len, bad[i].at, bad[i].load, bad[i].load_end,
						bad[i].bss_end, bad[i].entry);
		expect_refused(&image, bad[i].err, bad[i].why);
		free(file);
	}
	image.kernel = file = make_flat(20000, 100, 0x200000, 0, 0, 0x200000);
	*(u32 *)(file + 112) = 0x200000 + 101; /* one byte before the file's beginning */
	expect_refused(&image, -EINVAL, "fix header_addr");
	*(u32 *)(file + 112) = 0x1fffff;
	expect_refused(&image, -EINVAL, "fix header_addr");
	*(u32 *)(file + 112) = 0x200000 + 100;
	*(u32 *)(file + 104) = 0x1000b;
	*(u32 *)(file + 108) = -(MAGIC + 0x1000b);
	expect_refused(&image, -EINVAL, "not defined (flags 1000b)");
	/* A video mode is unavailable, but that is no reason to refuse. */
	*(u32 *)(file + 104) = 0x10007;
	*(u32 *)(file + 108) = -(MAGIC + 0x10007);
	assert_int_equal(load(&image), 0);
	/* Ramdisks: too large, too many, empty ones. */
	many[0] = (struct guest_module){ file, 7 << 20, "" };
	image.module = many;
	image.nr_modules = 1;
	expect_refused(&image, -ENOSPC, "ramdisk 0 of 7168 KiB does not fit");
	for (int i = 0; i <= GUEST_MAX_MODULES; i++)
		many[i] = (struct guest_module){ "", 0, "" };
	image.nr_modules = GUEST_MAX_MODULES + 1;
	expect_refused(&image, -ENOSPC, "17 ramdisks, more than GUEST_MAX_MODULES (16)");
	image.nr_modules = GUEST_MAX_MODULES;
	assert_int_equal(load(&image), 0);
	check_multiboot_information(&f, &image, &entry);
	/* A command line that leaves no room for anything else. */
	image.nr_modules = 0;
	char *line = memset(malloc(8 << 20), 'x', 8 << 20);
	line[(8 << 20) - 1] = 0;
	image.command_line = line;
	expect_refused(&image, -ENOSPC, "start information");
	free(line);
	free(file);
}

static void test_header_search(void **state)
{
	struct guest_image image = {
		.name = "k0", .command_line = "", .ram = 8 << 20, .kernel_len = 20000
	};
	u8 *file;

	(void)state;
	for (u64 at = 8192 - 64; at < 8192 + 8; at++) {
		image.kernel = file = make_flat(20000, at, 0x200000, 0, 0, 0x200000);
		assert_int_equal(multiboot1_protocol.recognize(&image),
				 at % 4 == 0 && at + 32 <= 8192);
		free(file);
	}
	image.kernel = file = make_flat(20000, 0, 0x200000, 0, 0, 0x200000);
	for (image.kernel_len = 0; image.kernel_len < 40; image.kernel_len++) {
		u8 *copy = memcpy(malloc(image.kernel_len + 1), file, image.kernel_len);

		copy = realloc(copy, image.kernel_len ? image.kernel_len : 1);
		image.kernel = copy;
		assert_int_equal(multiboot1_protocol.recognize(&image), image.kernel_len >= 32);
		free(copy);
	}
	image.kernel = file;
	image.kernel_len = 20000;
	file[8]++; /* checksum */
	assert_false(multiboot1_protocol.recognize(&image));
	free(file);
}

/* Random kernels, ramdisks and memory sizes: a kernel that loads is complete and nothing overlaps;
 * one that is refused leaves memory unchanged. */
static void test_random_fit(void **state)
{
	static u8 disk[2][500000];
	struct guest_module module[2];
	u32 loaded = 0;

	(void)state;
	srand(test_seed());
	for (size_t i = 0; i < sizeof(disk[0]); i++) {
		disk[0][i] = rand();
		disk[1][i] = rand();
	}
	for (int round = 0; round < 400; round++) {
		static const u32 header[] = { MAGIC, 0, -MAGIC };
		u64 len, ram = 2 << 20;
		struct made_segment s[4] = { { 1, 0x1000, 0x1000, sizeof(header), 16, 4,
					       (const u8 *)header } };
		u64 at = 0x100000 + rand() % 0x40000;
		u32 nr = 1 + rand() % 3;
		struct guest_image image = { .module = module,
					     .nr_modules = rand() % 3,
					     .name = "k0",
					     .command_line = "some words",
					     .ram = ram };
		u8 *file;
		int err;

		for (u32 i = 1; i <= nr; i++) {
			u64 size = rand() % 250000;

			s[i] = (struct made_segment){ 1, at,  at, size, size + rand() % 150000,
						      4, NULL };
			at += s[i].mem_size + rand() % 250000;
		}
		for (u32 i = 0; i < 2; i++)
			module[i] = (struct guest_module){ disk[i], rand() % sizeof(disk[i]),
							   "module" };
		file = make_elf(rand() % 2, 0x1000, s, nr + 1, &len);
		image.kernel = file;
		image.kernel_len = len;
		err = load(&image);
		if (err) {
			assert_true(all_bytes(f.ram, f.size, FILL));
		} else {
			u64 from = len;

			loaded++;
			check_multiboot_information(&f, &image, &entry);
			for (u32 i = nr + 1; i-- > 0;) {
				from -= s[i].file_size;
				assert_memory_equal(f.ram + s[i].paddr, file + from,
						    s[i].file_size);
				assert_true(all_bytes(f.ram + s[i].paddr + s[i].file_size,
						      s[i].mem_size - s[i].file_size, 0));
			}
		}
		free(file);
	}
	assert_in_range(loaded, 50, 370);
}

static void test_damaged(void **state)
{
	static const u32 header[] = { MAGIC, 0, -MAGIC };
	struct made_segment s[] = {
		{ 1, 0x100000, 0x100000, sizeof(header), sizeof(header), 4, (const u8 *)header },
		{ 1, 0x101000, 0x101000, 800, 9000, 4, NULL },
	};
	u64 len[2];
	u8 *file[2] = { make_elf(false, 0x101004, s, 2, &len[0]),
			make_flat(2000, 200, 0x200000, 0x200000 + 1500, 0x200000 + 30000,
				  0x200000 + 14) };

	(void)state;
	len[1] = 2000;
	srand(test_seed());
	for (int round = 0; round < 20000; round++) {
		int which = rand() % 2;
		u64 n = rand() % 3 ? len[which] : (u64)rand() % len[which];
		u8 *copy = memcpy(malloc(n ? n : 1), file[which], n);
		struct guest_image image = { .kernel = copy,
					     .kernel_len = n,
					     .name = "k0",
					     .command_line = "",
					     .ram = 4 << 20 };

		for (int k = rand() % 4; k > 0 && n; k--)
			copy[rand() % MIN(n, 240UL)] = rand() % 2 ? rand() :
								    (rand() % 2 ? 0xff : 0);
		if (which && n >= 232) /* keep the checksum right: the fields are parsed */
			*(u32 *)(copy + 208) = -(*(u32 *)(copy + 200) + *(u32 *)(copy + 204));
		if (multiboot1_protocol.recognize(&image))
			(void)load(&image);
		free(copy);
	}
	free(file[0]);
	free(file[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_small_field_kernel),
		cmocka_unit_test(test_elf_entry),
		cmocka_unit_test(test_flat),
		cmocka_unit_test(test_messages),
		cmocka_unit_test(test_header_search),
		cmocka_unit_test(test_random_fit),
		cmocka_unit_test(test_damaged),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	fixture_free(&f);
	return failed;
}
