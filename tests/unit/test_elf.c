/* sources: kernel/guest/loader/load.c kernel/guest/loader/elf.c kernel/guest/loader/layout.c
 * sources: kernel/guest/loader/ramdisk.c kernel/guest/loader/startinfo.c
 * sources: kernel/guest/loader/multiboot1.c kernel/guest/loader/pvh.c
 * sources: kernel/guest/loader/linux.c kernel/guest/memory/guestmap.c kernel/lib/rangeset.c */
/* The ELF reader and the placing of data in guest memory: both ELF classes, truncated at each
 * length, damaged at random. */
#include "guest_fixture.h"

static struct fixture f;
static struct loader_error e;

/* Open, claim, write. */
static int load(const u8 *file, u64 len, u64 ram)
{
	struct guest_memory memory;
	struct guest_layout l;
	struct elf elf;
	int err;

	fixture_init(&f, ram);
	memory = fixture_memory(&f);
	memset(&e, 0x7f, sizeof(e));
	err = elf_open(&elf, file, len, &e);
	if (err)
		goto out;
	layout_init(&l, ram);
	err = elf_claim(&elf, &l, &e);
	if (err)
		goto out;
	err = elf_write(&elf, &memory, &e);
	assert_int_equal(err, 0);
	return 0;
out:
	check_message(&e);
	assert_int_equal(f.writes, 0);
	return err;
}

static const struct made_segment two[] = {
	{ 1, 0xc0100000, 0x100000, 5000, 9000, 4096, NULL },
	{ 1, 0xc0200000, 0x200000, 100, 100, 4096, NULL },
	{ 4, 0, 0, 64, 64, 4, NULL },
	{ 1, 0xc0300000, 0x300000, 0, 4096, 4096, NULL }, /* bss only */
};

static void test_both_classes(void **state)
{
	(void)state;
	for (int is64 = 0; is64 < 2; is64++) {
		u64 len, pa;
		u8 *file = make_elf(is64, 0xc0100010, two, 4, &len);
		struct elf elf;

		assert_int_equal(load(file, len, 4 << 20), 0);
		assert_int_equal(elf_open(&elf, file, len, &e), 0);
		assert_int_equal(elf.entry, 0xc0100010);
		assert_memory_equal(f.ram + 0x100000, file + elf_segment(&elf, 0).offset, 5000);
		assert_true(all_bytes(f.ram + 0x100000 + 5000, 4000, 0));
		assert_true(all_bytes(f.ram + 0x100000 + 9000, 0x200000 - 0x100000 - 9000, FILL));
		assert_memory_equal(f.ram + 0x200000, file + elf_segment(&elf, 1).offset, 100);
		assert_true(all_bytes(f.ram + 0x300000, 4096, 0));
		assert_true(all_bytes(f.ram, 0x100000, FILL));
		assert_true(elf_virt_to_phys(&elf, 0xc0200005, &pa));
		assert_int_equal(pa, 0x200005);
		assert_false(elf_virt_to_phys(&elf, 0xc0200064, &pa));
		assert_true(elf_has_code_at(&elf, 0x100000 + 4999));
		assert_false(elf_has_code_at(&elf, 0x100000 + 5000));
		free(file);
	}
}

static void expect_refused(const u8 *file, u64 len, int err, const char *why)
{
	assert_int_equal(load(file, len, 4 << 20), err);
	if (!strstr(e.text, why))
		fail_msg("message \"%s\" does not contain \"%s\"", e.text, why);
}

static void test_messages(void **state)
{
	u64 len;
	u8 *file = make_elf(true, 0x100000, two, 4, &len);
	u8 *phdr = file + 64, keep[64];

	(void)state;
#define WITH(type, at, value, err, why)                                                            \
	do {                                                                                       \
		memcpy(keep, (at), sizeof(type));                                                  \
		*(type *)(at) = (type)(value);                                                     \
		expect_refused(file, len, err, why);                                               \
		memcpy((at), keep, sizeof(type));                                                  \
	} while (0)
	WITH(u8, file, 0, -EINVAL, "not an ELF file");
	WITH(u8, file + 4, 3, -EINVAL, "class 3");
	WITH(u8, file + 5, 2, -EINVAL, "data 2");
	WITH(u16, file + 16, 3, -EINVAL, "without -pie");
	WITH(u16, file + 18, 183, -EINVAL, "machine 183");
	WITH(u16, file + 56, 0, -EINVAL, "no usable program headers");
	WITH(u16, file + 54, 55, -EINVAL, "no usable program headers");
	WITH(u64, file + 32, ~0UL, -EINVAL, "beyond the end of the file");
	WITH(u16, file + 56, 65535, -EINVAL, "beyond the end of the file");
	WITH(u64, phdr + 8, len, -EINVAL, "segment 0");
	WITH(u64, phdr + 8, ~0UL - 3, -EINVAL, "segment 0");
	WITH(u64, phdr + 32, 9001, -EINVAL, "beyond the end of the file");
	WITH(u64, phdr + 40, 4999, -EINVAL, "5000 bytes in the file, but 4999 in memory");
	WITH(u64, phdr + 40, 0x300001, -ENOSPC, "does not fit: 3145729 bytes at 100000");
	WITH(u64, phdr + 40, ~0UL, -ENOSPC, "give more mem=");
	WITH(u64, phdr + 24, 0x9f000, -ENOSPC, "does not fit"); /* into the reserved part */
	WITH(u64, phdr + 24, ~0UL - 100, -ENOSPC, "does not fit");
	WITH(u64, phdr + 24, 0xc0000000, -ENOSPC, "4096 KiB of RAM");
#undef WITH
	assert_int_equal(load(file, len - 1, 4 << 20), 0);
	for (int i = 0; i < 4; i++)
		*(u32 *)(phdr + i * 56) = 6;
	expect_refused(file, len, -EINVAL, "no loadable segment");
	free(file);
}

static void test_cut_and_damaged(void **state)
{
	u64 len;

	(void)state;
	srand(test_seed());
	for (int is64 = 0; is64 < 2; is64++) {
		u8 *file = make_elf(is64, 0x100000, two, 4, &len);

		for (u64 cut = 0; cut < len; cut += cut < 512 ? 1 : 37) {
			u8 *copy = memcpy(malloc(cut ? cut : 1), file, cut);
			int err = load(copy, cut, 4 << 20);

			/* The last segment is bss: a file without its last 64 bytes loads. */
			assert_int_equal(err, cut < len - 64 ? -EINVAL : 0);
			free(copy);
		}
		for (int round = 0; round < 3000; round++) {
			u8 *copy = memcpy(malloc(len), file, len);
			int err;

			for (int n = 1 + rand() % 4; n > 0; n--)
				copy[rand() % 300] = rand() % 2 ? rand() : (rand() % 2 ? 0xff : 0);
			err = load(copy, len, 4 << 20);
			assert_true(!err || err == -EINVAL || err == -ENOSPC);
			free(copy);
		}
		free(file);
	}
}

static void test_notes(void **state)
{
	/* 8-byte aligned notes: "Xen" type 18 after another note, in a segment after an invalid
	 * one. */
	static const u32 broken[] = { 4, 0xffffff00, 18, 0x6e6558 };
	static const u32 aligned4[] = { 5, 1, 18, 0x6c616f43, 0,       0x77, /* "Coal" */
					4, 4, 17, 0x6e6558,   0x1111, /* other type */
					4, 4, 18, 0x6e6558,   0x100020 };
	static const u32 aligned8[] = { 4, 4, 7,  0x6e6558, 0x55,     0, /* padded to 8 */
					4, 8, 18, 0x6e6558, 0x100030, 0 };
	struct made_segment s[] = {
		{ 4, 0, 0, sizeof(broken), 0, 4, (const u8 *)broken },
		{ 4, 0, 0, sizeof(aligned4), 0, 4, (const u8 *)aligned4 },
		{ 4, 0, 0, sizeof(aligned8), 0, 8, (const u8 *)aligned8 },
	};
	struct elf_note xen = { .name = "Xen", .type = 18 }, other = { .name = "Xen", .type = 19 },
			shorter = { .name = "Xe", .type = 18 };
	struct elf elf;
	u64 len;
	u8 *file = make_elf(true, 0, s, 2, &len);

	(void)state;
	assert_int_equal(elf_open(&elf, file, len, &e), 0);
	assert_true(elf_find_note(&elf, &xen));
	assert_int_equal(xen.desc_len, 4);
	assert_int_equal(*(const u32 *)xen.desc, 0x100020);
	assert_false(elf_find_note(&elf, &other));
	assert_false(elf_find_note(&elf, &shorter));
	/* Truncate the note anywhere: it is found complete or not at all. */
	for (u64 cut = 0; cut < sizeof(aligned4); cut++) {
		*(u64 *)(file + 64 + 56 + 32) = cut;
		assert_false(elf_find_note(&elf, &xen));
	}
	free(file);
	s[1] = s[2];
	file = make_elf(true, 0, s, 2, &len);
	assert_int_equal(elf_open(&elf, file, len, &e), 0);
	assert_true(elf_find_note(&elf, &xen));
	assert_int_equal(xen.desc_len, 8);
	assert_int_equal(*(const u32 *)xen.desc, 0x100030);
	free(file);
}

static void test_memory_map(void **state)
{
	static const u64 sizes[] = { 2UL << 20, 64UL << 20, 3UL << 30, (3UL << 30) + 4096,
				     8UL << 30 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct guest_map_entry map[GUEST_MAP_ENTRIES];
		u32 nr = guest_memory_map(sizes[i], map);
		u64 sum = 0;

		assert_int_equal(nr, sizes[i] > 3UL << 30 ? 4 : 3);
		for (u32 k = 0; k < nr; k++) {
			sum += map[k].len;
			if (k)
				assert_true(map[k].base >= map[k - 1].base + map[k - 1].len);
		}
		/* The memory map lists everything, including the reserved part. */
		assert_int_equal(sum, sizes[i]);
		assert_int_equal(map[0].len, 0x9fc00);
		assert_int_equal(map[1].type, 2);
		if (nr == 4)
			assert_int_equal(map[3].base, 1UL << 32);
	}
}

/* Random claims and placements against an array with one flag per KiB. */
static void test_layout(void **state)
{
	enum { KIB = 8192 };
	static u8 used[KIB];

	(void)state;
	srand(test_seed());
	for (int round = 0; round < 200; round++) {
		struct guest_layout l;
		u64 ram = ((2 << 20) + rand() % (6 << 20)) & ~0xfffUL;

		memset(used, 0, sizeof(used));
		layout_init(&l, ram);
		for (int step = 0; step < 30; step++) {
			u64 kib = rand() % (ram >> 10), nr = 1 + rand() % (rand() % 2 ? 40 : 2000);
			bool fits = kib + nr <= ram >> 10 &&
				    (kib + nr <= GUEST_LOW_END >> 10 || kib >= 1024);
			gpaddr_t gpa;

			switch (rand() % 3) {
			case 0:
				assert_int_equal(layout_claim(&l, kib << 10, nr << 10),
						 fits ? 0 : -ERANGE);
				if (fits)
					memset(&used[kib], 1, nr);
				break;
			default:
				if (!(step % 2 ? layout_place_low : layout_place_high)(&l, nr << 10,
										       &gpa)) {
					assert_true(layout_largest(&l) < nr << 10);
					break;
				}
				assert_true(IS_ALIGNED(gpa, PAGE_SIZE) && gpa >= 0x10000);
				assert_true(fixture_usable(&(struct fixture){ .size = ram }, gpa,
							   nr << 10));
				assert_true(all_bytes(&used[gpa >> 10], nr, 0));
				memset(&used[gpa >> 10], 1, ALIGN_UP(nr, 4));
			}
		}
	}
}

static void test_nothing_recognises_it(void **state)
{
	struct guest_image image = { .command_line = "", .ram = 4 << 20 };
	struct guest_memory memory = fixture_memory(&f);
	struct guest_entry entry;
	const char *protocol = "x";
	u64 len;
	u8 *file = make_elf(true, 0x100000, two, 4, &len);

	(void)state;
	image.kernel = file;
	image.kernel_len = len;
	assert_int_equal(guest_load(&image, &memory, &entry, &protocol, &e), -ENOENT);
	assert_null(protocol);
	check_message(&e);
	assert_non_null(strstr(e.text, "Multiboot header"));
	image.kernel = (const u8 *)"MZ";
	image.kernel_len = 2;
	assert_int_equal(guest_load(&image, &memory, &entry, &protocol, &e), -ENOENT);
	check_message(&e);
	image.kernel_len = 0;
	assert_int_equal(guest_load(&image, &memory, &entry, &protocol, &e), -ENOENT);
	free(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_classes),
		cmocka_unit_test(test_messages),
		cmocka_unit_test(test_cut_and_damaged),
		cmocka_unit_test(test_notes),
		cmocka_unit_test(test_memory_map),
		cmocka_unit_test(test_layout),
		cmocka_unit_test(test_nothing_recognises_it),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	fixture_free(&f);
	return failed;
}
