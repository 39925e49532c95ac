/* What must hold for whatever is parsed from any boot information. */
#pragma once

#include <tests/unit/test.h>

#include <boot/multiboot2.h>
#include <kernel/lib/errno.h>

static inline void check_boot_info(const struct boot_info *info)
{
	const char *end = info->strings + info->strings_used;

	assert_true(strnlen(info->cmdline, sizeof(info->cmdline)) < sizeof(info->cmdline));
	assert_in_range(info->nr_ranges, 0, BOOT_MAX_RANGES);
	assert_in_range(info->nr_modules, 0, BOOT_MAX_MODULES);
	assert_in_range(info->rsdp_length, 0, sizeof(info->rsdp));
	assert_in_range(info->strings_used, 0, sizeof(info->strings));
	for (u32 i = 0; i < info->nr_modules; i++) {
		const struct boot_module *m = &info->module[i];

		assert_true(m->start <= m->end);
		/* One after the other, each with its NUL. */
		assert_ptr_equal(m->line, i ? m[-1].line + strlen(m[-1].line) + 1 : info->strings);
		assert_true(m->line < end && memchr(m->line, 0, (size_t)(end - m->line)));
	}
}

/* Counts the complete tags of this type before the first invalid one or the end tag, by the
 * simplest code. */
static inline u32 tags_of_type(const u8 *data, size_t size, u32 type)
{
	u32 nr = 0, total, head[2];

	if (size < 8)
		return 0;
	memcpy(&total, data, 4);
	if (total > size)
		return 0;
	for (size_t at = 8; at <= total && total - at >= 8; at += ALIGN_UP((size_t)head[1], 8)) {
		memcpy(head, data + at, 8);
		if (!head[0] || head[1] < 8 || head[1] > total - at)
			break;
		nr += head[0] == type;
	}
	return nr;
}

/* Parses `size` bytes in an allocation of exactly that size. */
static inline int check_multiboot2(const u8 *data, size_t size, struct boot_info *info)
{
	static struct boot_info again;
	int ret;

	memset(info, 0x7f, sizeof(*info));
	ret = multiboot2_parse(data, size, info);
	assert_true(!ret || ret == -EINVAL);
	check_boot_info(info);
	if (ret) {
		assert_int_equal(info->nr_modules + info->nr_ranges + info->rsdp_length, 0);
		assert_int_equal(info->cmdline[0], 0);
		return ret;
	}
	assert_true(info->nr_modules <= tags_of_type(data, size, 3));
	if (!tags_of_type(data, size, 6))
		assert_int_equal(info->nr_ranges, 0);
	if (!tags_of_type(data, size, 1))
		assert_int_equal(info->cmdline[0], 0);
	if (!tags_of_type(data, size, 14) && !tags_of_type(data, size, 15))
		assert_int_equal(info->rsdp_length, 0);
	/* Every result points into the boot information. */
	assert_int_equal(multiboot2_parse(data, size, &again), 0);
	for (u32 i = 0; i < info->nr_modules; i++)
		assert_string_equal(again.module[i].line, info->module[i].line);
	assert_memory_equal(again.range, info->range, sizeof(again.range));
	assert_memory_equal(again.rsdp, info->rsdp, sizeof(again.rsdp));
	assert_memory_equal(again.strings, info->strings, sizeof(again.strings));
	assert_string_equal(again.cmdline, info->cmdline);
	return 0;
}
