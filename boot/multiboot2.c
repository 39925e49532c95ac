/* The tags of Multiboot2 (Multiboot2 Specification 2.0, section 3.6): each is {u32 type, u32 size,
 * ...}, aligned to 8 bytes. GRUB is trusted, but it passes on what others wrote (menu lines,
 * firmware tables), so all lengths are checked. */
#include <boot/multiboot2.h>

#include <kernel/core/log.h>
#include <kernel/lib/errno.h>
#include <kernel/lib/string.h>

enum tag_type {
	TAG_END = 0,
	TAG_CMDLINE = 1,
	TAG_MODULE = 3,
	TAG_MMAP = 6,
	TAG_ACPI_OLD = 14,
	TAG_ACPI_NEW = 15,
};

struct info_header {
	u32 total_size;
	u32 reserved;
};
_Static_assert(sizeof(struct info_header) == 8, "Multiboot2 3.6.1");

struct tag {
	u32 type;
	u32 size;
};
_Static_assert(sizeof(struct tag) == 8, "Multiboot2 3.6.2");

struct tag_module {
	struct tag tag;
	u32 start, end;
};
_Static_assert(sizeof(struct tag_module) == 16, "Multiboot2 3.6.6");

struct tag_mmap {
	struct tag tag;
	u32 entry_size, entry_version;
};
_Static_assert(sizeof(struct tag_mmap) == 16, "Multiboot2 3.6.8");

struct mmap_entry {
	u64 base, length;
	u32 type, reserved;
};
_Static_assert(sizeof(struct mmap_entry) == 24, "Multiboot2 3.6.8");

/* The length of the text that fills the rest of a tag; false if its NUL is missing. */
static bool tag_text(const u8 *text, size_t size, size_t *len)
{
	*len = strnlen((const char *)text, size);
	return *len < size;
}

static void parse_cmdline(const u8 *data, size_t size, struct boot_info *info)
{
	size_t len;
	bool whole = tag_text(data + sizeof(struct tag), size - sizeof(struct tag), &len);

	if (!whole || len >= sizeof(info->cmdline)) {
		len = MIN(len, sizeof(info->cmdline) - 1);
		log_warn("multiboot2: the command line is truncated to %zu characters "
			 "(BOOT_CMDLINE_SIZE is %d)",
			 len, BOOT_CMDLINE_SIZE);
	}
	memcpy(info->cmdline, data + sizeof(struct tag), len);
	info->cmdline[len] = 0;
}

/* Modules for which there is no room. */
struct lost {
	u32 modules, lines;
	char first[41]; /* the line of the first of them */
};

static void lose(struct lost *lost, u32 *counter, const char *line, size_t len)
{
	if (!lost->modules && !lost->lines)
		copy_string(lost->first, line, MIN(len + 1, sizeof(lost->first)));
	(*counter)++;
}

static void parse_module(const u8 *data, size_t size, struct boot_info *info, struct lost *lost)
{
	struct tag_module m;
	struct boot_module *out;
	size_t len;

	if (size < sizeof(m)) {
		log_warn("multiboot2: a module tag of %zu bytes is too short; it is ignored", size);
		return;
	}
	memcpy(&m, data, sizeof(m));
	if (m.end < m.start || !tag_text(data + sizeof(m), size - sizeof(m), &len)) {
		log_warn("multiboot2: the tag of the module at 0x%x is malformed; it is ignored",
			 m.start);
		return;
	}
	if (info->nr_modules == BOOT_MAX_MODULES) {
		lose(lost, &lost->modules, (const char *)data + sizeof(m), len);
		return;
	}
	if (len + 1 > BOOT_STRINGS_SIZE - info->strings_used) {
		lose(lost, &lost->lines, (const char *)data + sizeof(m), len);
		return;
	}
	out = &info->module[info->nr_modules++];
	out->start = m.start;
	out->end = m.end;
	out->line = info->strings + info->strings_used;
	memcpy(info->strings + info->strings_used, data + sizeof(m), len + 1);
	info->strings_used += (u32)len + 1;
}

static void parse_mmap(const u8 *data, size_t size, struct boot_info *info)
{
	struct tag_mmap map;

	if (size < sizeof(map)) {
		log_warn("multiboot2: a memory map of %zu bytes is too short; ignored", size);
		return;
	}
	memcpy(&map, data, sizeof(map));
	if (map.entry_size < sizeof(struct mmap_entry)) {
		log_warn("multiboot2: a memory map with entries of %u bytes is malformed; ignored",
			 map.entry_size);
		return;
	}
	for (size_t at = sizeof(map); size - at >= map.entry_size; at += map.entry_size) {
		struct mmap_entry e;

		memcpy(&e, data + at, sizeof(e));
		if (info->nr_ranges == BOOT_MAX_RANGES) {
			log_warn("multiboot2: more memory ranges than BOOT_MAX_RANGES (%d); "
				 "those from 0x%lx on are ignored",
				 BOOT_MAX_RANGES, (unsigned long)e.base);
			return;
		}
		info->range[info->nr_ranges++] = (struct memmap_entry){ e.base, e.length, e.type };
	}
}

static void parse_rsdp(const u8 *data, size_t size, struct boot_info *info)
{
	size_t len = MIN(size - sizeof(struct tag), sizeof(info->rsdp));

	memcpy(info->rsdp, data + sizeof(struct tag), len);
	info->rsdp_length = (u32)len;
}

static void report_lost(const struct lost *lost)
{
	if (lost->modules)
		log_warn("multiboot2: %u modules more than BOOT_MAX_MODULES (%d), from \"%s\" on: "
			 "they are ignored; load fewer files",
			 lost->modules, BOOT_MAX_MODULES, lost->first);
	if (lost->lines)
		log_warn(
			"multiboot2: the module lines are longer than BOOT_STRINGS_SIZE (%d bytes) "
			"together: %u modules are ignored, from \"%s\" on; write shorter lines",
			BOOT_STRINGS_SIZE, lost->lines, lost->first);
}

static void parse_tags(const u8 *bytes, size_t size, struct boot_info *info, struct lost *lost)
{
	bool have_new_rsdp = false;
	size_t at;

	for (at = sizeof(struct info_header); size - at >= sizeof(struct tag);) {
		struct tag tag;

		memcpy(&tag, bytes + at, sizeof(tag));
		if (tag.size < sizeof(tag) || tag.size > size - at) {
			log_warn("multiboot2: tag of type %u at offset %zu claims %u bytes; "
				 "the rest is ignored",
				 tag.type, at, tag.size);
			return;
		}
		switch (tag.type) {
		case TAG_END:
			return;
		case TAG_CMDLINE:
			parse_cmdline(bytes + at, tag.size, info);
			break;
		case TAG_MODULE:
			parse_module(bytes + at, tag.size, info, lost);
			break;
		case TAG_MMAP:
			parse_mmap(bytes + at, tag.size, info);
			break;
		case TAG_ACPI_OLD:
			/* The new pointer, with the XSDT's address, wins in any order. */
			if (!have_new_rsdp)
				parse_rsdp(bytes + at, tag.size, info);
			break;
		case TAG_ACPI_NEW:
			parse_rsdp(bytes + at, tag.size, info);
			have_new_rsdp = true;
			break;
		}
		if (size - at < ALIGN_UP((size_t)tag.size, 8))
			break;
		at += ALIGN_UP((size_t)tag.size, 8);
	}
	log_warn("multiboot2: the list of tags has no end tag");
}

int multiboot2_parse(const void *data, size_t size, struct boot_info *info)
{
	struct info_header header;
	struct lost lost = { 0 };

	memset(info, 0, sizeof(*info));
	if (size < sizeof(header)) {
		log_err("multiboot2: the boot information is only %zu bytes long", size);
		return -EINVAL;
	}
	memcpy(&header, data, sizeof(header));
	if (header.total_size < sizeof(header) + sizeof(struct tag) || header.total_size > size) {
		log_err("multiboot2: the boot information claims a size of %u bytes",
			header.total_size);
		return -EINVAL;
	}
	parse_tags(data, header.total_size, info, &lost);
	report_lost(&lost);
	return 0;
}
