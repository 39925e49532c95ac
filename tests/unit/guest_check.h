/* What a loaded guest finds in its memory: the start structures of both protocols, read at the
 * offsets in the specifications, not through the loader's own structs. */
#pragma once

#include <tests/unit/guest_fixture.h>

static inline u32 guest_u32(const struct fixture *f, gpaddr_t gpa)
{
	u32 v;

	assert_true(fixture_usable(f, gpa, 4));
	memcpy(&v, f->ram + gpa, 4);
	return v;
}

static inline u64 guest_u64(const struct fixture *f, gpaddr_t gpa)
{
	return guest_u32(f, gpa) | (u64)guest_u32(f, gpa + 4) << 32;
}

static inline const char *guest_string(const struct fixture *f, gpaddr_t gpa)
{
	assert_true(gpa < f->size && memchr(f->ram + gpa, 0, f->size - gpa));
	return (const char *)f->ram + gpa;
}

static inline void check_module_at(const struct fixture *f, gpaddr_t gpa, u64 len,
				   const struct guest_module *m)
{
	assert_true(IS_ALIGNED(gpa, PAGE_SIZE));
	assert_true(fixture_usable(f, gpa, len));
	assert_int_equal(len, m->len);
	assert_memory_equal(f->ram + gpa, m->data, m->len);
}

/* The memory map's entries; entry i has base, len, type. */
static inline void check_map_entry(const struct guest_image *image, u32 i, u64 base, u64 len,
				   u32 type)
{
	static const u64 want[][3] = { { 0, 0x9fc00, 1 },
				       { 0x9fc00, 0x60400, 2 },
				       { 0x100000, 0, 1 } };

	assert_true(i < 3);
	assert_int_equal(base, want[i][0]);
	assert_int_equal(len, i < 2 ? want[i][1] : image->ram - 0x100000);
	assert_int_equal(type, want[i][2]);
}

/* The kernel's name, and what follows "--" on its module line. */
static inline void check_named_line(const char *line, const struct guest_image *image)
{
	size_t n = strlen(image->name);

	assert_int_equal(strncmp(line, image->name, n), 0);
	if (*image->command_line)
		assert_int_equal(line[n++], ' ');
	assert_string_equal(line + n, image->command_line);
}

/* Multiboot 0.6.96, 3.3; for guests of 1 MiB to 3 GiB. */
static inline void check_multiboot_information(const struct fixture *f,
					       const struct guest_image *image,
					       const struct guest_entry *entry)
{
	gpaddr_t mbi = entry->ebx, at, end;
	u32 n = 0;

	assert_int_equal(entry->eax, 0x2badb002);
	assert_true(IS_ALIGNED(mbi, 4));
	assert_int_equal(guest_u32(f, mbi), 0x24d);
	assert_int_equal(guest_u32(f, mbi + 4), 639); /* 0x9fc00 */
	assert_int_equal(guest_u32(f, mbi + 8), (image->ram >> 10) - 1024);
	check_named_line(guest_string(f, guest_u32(f, mbi + 16)), image);
	assert_int_equal(guest_u32(f, mbi + 20), image->nr_modules);
	for (u32 i = 0; i < image->nr_modules; i++) {
		gpaddr_t m = guest_u32(f, mbi + 24) + i * 16;

		check_module_at(f, guest_u32(f, m), guest_u32(f, m + 4) - guest_u32(f, m),
				&image->module[i]);
		assert_string_equal(guest_string(f, guest_u32(f, m + 8)),
				    image->module[i].command_line);
	}
	at = guest_u32(f, mbi + 48);
	for (end = at + guest_u32(f, mbi + 44); at < end; at += guest_u32(f, at) + 4, n++)
		check_map_entry(image, n, guest_u64(f, at + 4), guest_u64(f, at + 12),
				guest_u32(f, at + 20));
	assert_int_equal(n, 3);
	assert_string_equal(guest_string(f, guest_u32(f, mbi + 64)), "Weir");
}

/* hvm_start_info, version 1; for guests of 1 MiB to 3 GiB. */
static inline void check_start_info(const struct fixture *f, const struct guest_image *image,
				    const struct guest_entry *entry)
{
	gpaddr_t info = entry->ebx, map;

	assert_true(entry->x2apic);

	assert_int_equal(guest_u32(f, info), 0x336ec578);
	assert_int_equal(guest_u32(f, info + 4), 1);
	assert_int_equal(guest_u32(f, info + 8), 0);
	assert_int_equal(guest_u32(f, info + 12), image->nr_modules);
	assert_string_equal(guest_string(f, guest_u64(f, info + 24)), image->command_line);
	assert_int_equal(guest_u64(f, info + 32), 0xe0000); /* the RSDP */
	for (u32 i = 0; i < image->nr_modules; i++) {
		gpaddr_t m = guest_u64(f, info + 16) + i * 32;

		check_module_at(f, guest_u64(f, m), guest_u64(f, m + 8), &image->module[i]);
		assert_string_equal(guest_string(f, guest_u64(f, m + 16)),
				    image->module[i].command_line);
		assert_int_equal(guest_u64(f, m + 24), 0);
	}
	map = guest_u64(f, info + 40);
	assert_int_equal(guest_u32(f, info + 48), 3);
	for (u32 i = 0; i < 3; i++)
		check_map_entry(image, i, guest_u64(f, map + 24 * i),
				guest_u64(f, map + 24 * i + 8), guest_u32(f, map + 24 * i + 16));
}

/* boot_params and what it points to (Documentation/arch/x86/boot.rst and zero-page.rst); for guests
 * of 1 MiB to 3 GiB. */
static inline void check_zero_page(const struct fixture *f, const struct guest_image *image,
				   const struct guest_entry *entry)
{
	const u8 *setup = image->kernel + 0x1f1, *page = f->ram + entry->esi;
	u32 nr = image->nr_modules;

	assert_true(IS_ALIGNED(entry->esi, PAGE_SIZE) && fixture_usable(f, entry->esi, PAGE_SIZE));
	assert_int_equal(entry->eax | entry->ebx, 0);
	/* Bit 0 of xloadflags: the kernel is a 64-bit one. */
	assert_int_equal(entry->x2apic, setup[0x236 - 0x1f1] & 1);
	/* The header is copied from the file, except for the fields that a loader fills in. */
	assert_memory_equal(page + 0x1f1, setup, 0x210 - 0x1f1);
	assert_int_equal(page[0x210], 0xff);
	assert_memory_equal(page + 0x211, setup + 0x20, 0x218 - 0x211);
	assert_memory_equal(page + 0x22c, setup + 0x3b, 0x250 - 0x22c);
	assert_int_equal(guest_u64(f, entry->esi + 0x250), 0);
	assert_memory_equal(page + 0x258, setup + 0x67, 12);
	assert_int_equal(guest_u32(f, entry->esi + 0x21c), nr ? image->module[0].len : 0);
	if (nr)
		check_module_at(f, guest_u32(f, entry->esi + 0x218), image->module[0].len,
				&image->module[0]);
	else
		assert_int_equal(guest_u32(f, entry->esi + 0x218), 0);
	assert_string_equal(guest_string(f, guest_u32(f, entry->esi + 0x228)), image->command_line);
	assert_int_equal(guest_u64(f, entry->esi + 0x70), 0xe0000);
	assert_int_equal(page[0x1e8], 3);
	for (u32 i = 0; i < 3; i++) {
		u32 at = entry->esi + 0x2d0 + 20 * i;

		check_map_entry(image, i, guest_u64(f, at), guest_u64(f, at + 8),
				guest_u32(f, at + 16));
	}
	/* Nothing else is declared: EFI, screen, EDD, segments beyond the map. */
	assert_true(all_bytes(page, 0x70, 0) && all_bytes(page + 0x78, 0x1e8 - 0x78, 0));
	assert_true(all_bytes(page + 0x1e9, 0x1f1 - 0x1e9, 0));
	assert_true(all_bytes(page + 0x290, 0x2d0 - 0x290, 0));
	assert_true(all_bytes(page + 0x2d0 + 60, PAGE_SIZE - 0x2d0 - 60, 0));
}

/* All loadable segments are where they should be; where they overlap, the later one wins. */
static inline void check_segments(const struct fixture *f, const struct elf *elf)
{
	u8 *want = malloc(f->size);

	memset(want, FILL, f->size);
	for (u32 i = 0; i < elf->phnum; i++) {
		struct elf_segment s = elf_segment(elf, i);

		if (s.type != ELF_PT_LOAD || !s.mem_size)
			continue;
		assert_true(fixture_usable(f, s.paddr, s.mem_size));
		if (s.file_size)
			memcpy(want + s.paddr, elf->file + s.offset, s.file_size);
		memset(want + s.paddr + s.file_size, 0, s.mem_size - s.file_size);
	}
	for (u32 i = 0; i < elf->phnum; i++) {
		struct elf_segment s = elf_segment(elf, i);

		if (s.type == ELF_PT_LOAD && s.mem_size)
			assert_memory_equal(f->ram + s.paddr, want + s.paddr, s.mem_size);
	}
	free(want);
}
