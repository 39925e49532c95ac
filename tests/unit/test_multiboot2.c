/* sources: boot/multiboot2.c */
/* The tag parser: valid tags are accepted, truncated or invalid ones are ignored, and nothing is
 * read beyond the end: the data is at the end of an allocation, where the address sanitizer detects
 * that. */
#include "multiboot2_check.h"

#include <kernel/core/log.h>

static u8 data[65536];
static size_t len;
static struct boot_info info;
static int warnings;

void log_print(enum log_level level, const char *fmt, ...)
{
	(void)fmt;
	if (level <= LOG_WARN)
		warnings++;
}

static void put32(size_t at, u32 v)
{
	memcpy(data + at, &v, 4);
}

static void begin(void)
{
	memset(data, 0, sizeof(data));
	len = 8;
	warnings = 0;
}

static void add(u32 type, const void *payload, size_t size)
{
	len = ALIGN_UP(len, 8);
	put32(len, type);
	put32(len + 4, (u32)size + 8);
	if (size)
		memcpy(data + len + 8, payload, size);
	len += 8 + size;
}

static int parse_bytes(size_t size)
{
	u8 *copy = malloc(size ? size : 1);
	int r;

	memcpy(copy, data, size);
	r = multiboot2_parse(copy, size, &info);
	check_boot_info(&info);
	free(copy);
	return r;
}

static int parse(void)
{
	add(0, NULL, 0);
	put32(0, (u32)len);
	return parse_bytes(len);
}

static void add_module(u32 start, u32 end, const char *line, size_t line_size)
{
	u8 payload[16384];

	memcpy(payload, &start, 4);
	memcpy(payload + 4, &end, 4);
	memcpy(payload + 8, line, line_size);
	add(3, payload, 8 + line_size);
}

static void add_mmap(u32 entry_size, u32 nr, const u64 *values)
{
	u8 payload[16384] = { 0 };

	memcpy(payload, &entry_size, 4);
	for (u32 i = 0; i < nr; i++)
		memcpy(payload + 8 + i * entry_size, values + 3 * i, 24);
	add(6, payload, 8 + nr * entry_size);
}

static void test_everything(void **state)
{
	static const u64 map[] = { 0, 0x9fc00, 1, 0x100000, 0x1ff00000, 1, 0xfffc0000, 0x40000, 2 };

	(void)state;
	begin();
	add(1, "iommu=on loglevel=debug", 24);
	add_module(0x200000, 0x212345, "kernel name=a -- b", 19);
	add_module(0x300000, 0x300000, "", 1);
	add_mmap(24, 3, map);
	add(14, "RSD PTR old, twenty bytes", 20);
	add(99, "unknown tags are nobody's business", 30);
	assert_int_equal(parse(), 0);
	assert_int_equal(warnings, 0);
	assert_string_equal(info.cmdline, "iommu=on loglevel=debug");
	assert_int_equal(info.nr_modules, 2);
	assert_int_equal(info.module[0].start, 0x200000);
	assert_int_equal(info.module[0].end, 0x212345);
	assert_string_equal(info.module[0].line, "kernel name=a -- b");
	assert_string_equal(info.module[1].line, "");
	assert_int_equal(info.nr_ranges, 3);
	assert_int_equal(info.range[1].base, 0x100000);
	assert_int_equal(info.range[1].len, 0x1ff00000);
	assert_int_equal(info.range[2].type, 2);
	assert_int_equal(info.rsdp_length, 20);
}

static void test_larger_map_entries(void **state)
{
	static const u64 map[] = { 0x1000, 0x2000, 1, 0x5000, 0x1000, 3 };

	(void)state;
	begin();
	add_mmap(40, 2, map);
	assert_int_equal(parse(), 0);
	assert_int_equal(info.nr_ranges, 2);
	assert_int_equal(info.range[1].base, 0x5000);
	begin();
	add_mmap(24, 2, map);
	put32(8 + 8, 16); /* entries too small to hold one */
	assert_int_equal(parse(), 0);
	assert_int_equal(info.nr_ranges, 0);
	assert_int_equal(warnings, 1);
}

static void test_new_rsdp_wins(void **state)
{
	(void)state;
	for (int order = 0; order < 2; order++) {
		begin();
		add(order ? 15 : 14,
		    order ? "new, and it is longer than the old one" : "old, 20 bytes.......",
		    order ? 36 : 20);
		add(order ? 14 : 15,
		    order ? "old, 20 bytes......." : "new, and it is longer than the old one",
		    order ? 20 : 36);
		assert_int_equal(parse(), 0);
		assert_int_equal(info.rsdp_length, 36);
		assert_memory_equal(info.rsdp, "new", 3);
	}
	begin();
	memset(data + 4096, 'x', 4096);
	add(15, data + 4096, 4000);
	assert_int_equal(parse(), 0);
	assert_int_equal(info.rsdp_length, sizeof(info.rsdp));
}

static void test_limits(void **state)
{
	char line[4096];

	(void)state;
	memset(line, 'm', sizeof(line));
	begin();
	for (int i = 0; i < BOOT_MAX_MODULES + 3; i++)
		add_module(0x100000, 0x100001, "x", 2);
	assert_int_equal(parse(), 0);
	assert_int_equal(info.nr_modules, BOOT_MAX_MODULES);
	assert_int_equal(warnings, 1);

	line[sizeof(line) - 1] = 0;
	begin();
	for (int i = 0; i < 3; i++)
		add_module(0x100000, 0x100001, line, sizeof(line));
	assert_int_equal(parse(), 0);
	assert_int_equal(info.nr_modules, 2);
	assert_int_equal(warnings, 1);

	begin();
	add(1, line, sizeof(line));
	assert_int_equal(parse(), 0);
	assert_int_equal(strlen(info.cmdline), BOOT_CMDLINE_SIZE - 1);
	assert_int_equal(warnings, 1);

	begin();
	static u64 map[3 * (BOOT_MAX_RANGES + 5)];
	for (int i = 0; i < BOOT_MAX_RANGES + 5; i++)
		map[3 * i] = map[3 * i + 1] = 0x1000;
	add_mmap(24, BOOT_MAX_RANGES + 5, map);
	assert_int_equal(parse(), 0);
	assert_int_equal(info.nr_ranges, BOOT_MAX_RANGES);
	assert_int_equal(warnings, 1);
}

static void test_malformed(void **state)
{
	(void)state;
	/* A command line without its NUL, an end before the start, a tag too short for its
	 * fields. */
	begin();
	add_module(0x1000, 0x2000, "abc", 3);
	add_module(0x2000, 0x1000, "abc", 4);
	add(3, "1234567", 7);
	add(6, "1234567", 7);
	assert_int_equal(parse(), 0);
	assert_int_equal(info.nr_modules, 0);
	assert_int_equal(warnings, 4);

	/* Invalid sizes of the whole and of a tag. */
	begin();
	parse();
	assert_int_equal(parse_bytes(0), -EINVAL);
	assert_int_equal(parse_bytes(7), -EINVAL);
	put32(0, 8);
	assert_int_equal(parse_bytes(16), -EINVAL);
	put32(0, 17);
	assert_int_equal(parse_bytes(16), -EINVAL);
	begin();
	add(1, "before", 7);
	add(1, "bad", 4);
	put32(len - 8, 0xfffffff0);
	assert_int_equal(parse(), 0);
	assert_string_equal(info.cmdline, "before");
	put32(len - 8 - 16 + 4, 3); /* smaller than its header */
	assert_int_equal(parse_bytes(len), 0);

	/* No end tag. */
	begin();
	add(1, "x", 2);
	put32(0, (u32)len);
	assert_int_equal(parse_bytes(len), 0);
	assert_int_equal(warnings, 1);
	assert_string_equal(info.cmdline, "x");
}

/* Valid lists with bytes changed at random: no read outside (the sanitizer detects that), and valid
 * output, which parse_bytes() checks. */
static void test_random(void **state)
{
	(void)state;
	for (int n = 0; n < 20000; n++) {
		u64 map[6] = { 0, 0x1000, 1, 0x100000, 0x100000, 1 };

		begin();
		add(1, "command line", 13);
		add_module(0x1000, 0x2000, "one", 4);
		add_mmap(24, 2, map);
		add(15, "RSD PTR new, which is 36 bytes long.", 36);
		add(0, NULL, 0);
		put32(0, (u32)len);
		for (int i = rand() % 6; i > 0; i--)
			data[(size_t)rand() % len] = (u8)rand();
		(void)!parse_bytes(rand() % 3 ? len : (size_t)rand() % (len + 1));
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_everything),    cmocka_unit_test(test_larger_map_entries),
		cmocka_unit_test(test_new_rsdp_wins), cmocka_unit_test(test_limits),
		cmocka_unit_test(test_malformed),     cmocka_unit_test(test_random),
	};

	srand(test_seed());
	return cmocka_run_group_tests(tests, NULL, NULL);
}
