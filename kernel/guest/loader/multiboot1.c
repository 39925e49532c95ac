/* The Multiboot protocol, version 0.6.96: a header in the first 8 KiB says where the kernel goes
 * (or that its ELF headers do); EAX = 0x2BADB002, EBX = the multiboot information structure. */
#include <kernel/core/log.h>
#include <kernel/guest/loader/elf.h>
#include <kernel/guest/loader/ramdisk.h>
#include <kernel/guest/loader/startinfo.h>
#include <kernel/guest/memory/guestmap.h>
#include <kernel/lib/errno.h>
#include <kernel/lib/string.h>

#define MULTIBOOT_SEARCH 8192
#define MULTIBOOT_HEADER_MAGIC 0x1badb002u
#define MULTIBOOT_BOOTLOADER_MAGIC 0x2badb002u

/* Header flags, 3.1.2. A loader must refuse a kernel if it does not know one of bits 0 to 15. */
#define HEADER_VIDEO_MODE BIT(2)
#define HEADER_ADDRESSES BIT(16)
#define HEADER_REQUIREMENTS MASK(15, 0)
#define HEADER_PAGE_ALIGN BIT(0) /* modules on page boundaries */
#define HEADER_MEMORY_INFO BIT(1)
#define HEADER_KNOWN (HEADER_PAGE_ALIGN | HEADER_MEMORY_INFO | HEADER_VIDEO_MODE)

struct header {
	u32 magic, flags, checksum;
	/* Present if HEADER_ADDRESSES is set. */
	u32 header_addr, load_addr, load_end_addr, bss_end_addr, entry_addr;
};
#define HEADER_SHORT offsetof(struct header, header_addr)

/* Information structure, 3.3 */
#define INFO_MEMORY BIT(0)
#define INFO_CMDLINE BIT(2)
#define INFO_MODS BIT(3)
#define INFO_MEM_MAP BIT(6)
#define INFO_LOADER_NAME BIT(9)

struct information {
	u32 flags;
	u32 mem_lower, mem_upper; /* KiB */
	u32 boot_device;
	u32 cmdline;
	u32 mods_count, mods_addr;
	u32 syms[4];
	u32 mmap_length, mmap_addr;
	u32 drives_length, drives_addr;
	u32 config_table;
	u32 boot_loader_name;
	u32 apm_table;
	u32 vbe[4];
};
_Static_assert(offsetof(struct information, cmdline) == 16, "Multiboot 3.3");
_Static_assert(offsetof(struct information, mmap_length) == 44, "Multiboot 3.3");
_Static_assert(offsetof(struct information, boot_loader_name) == 64, "Multiboot 3.3");
_Static_assert(sizeof(struct information) == 88, "Multiboot 3.3, without the framebuffer");

struct module {
	u32 start, end, string, reserved;
};
_Static_assert(sizeof(struct module) == 16, "Multiboot 3.3");

struct map_entry {
	u32 size; /* of what follows */
	u64 base, length;
	u32 type;
} __packed;
_Static_assert(sizeof(struct map_entry) == 24, "Multiboot 3.3");

static const char loader_name[] = "Weir";

static bool find_multiboot_header(const struct guest_image *image, struct header *h, u64 *offset)
{
	u64 end = MIN(image->kernel_len, (u64)MULTIBOOT_SEARCH);

	for (*offset = 0; *offset + HEADER_SHORT <= end; *offset += 4) {
		u64 size = HEADER_SHORT;

		*h = (struct header){ 0 };
		memcpy(h, image->kernel + *offset, size);
		if (h->magic != MULTIBOOT_HEADER_MAGIC || h->magic + h->flags + h->checksum)
			continue;
		if (!(h->flags & HEADER_ADDRESSES))
			return true;
		size = sizeof(*h);
		if (*offset + size > end)
			continue;
		memcpy(h, image->kernel + *offset, size);
		return true;
	}
	return false;
}

static bool multiboot1_recognize(const struct guest_image *image)
{
	struct header h;
	u64 offset;

	return find_multiboot_header(image, &h, &offset);
}

/* The one segment that a header with addresses describes (3.1.3). */
struct flat {
	u64 offset, file_size;
	gpaddr_t base;
	u64 mem_size;
};

static int flat_check(const struct guest_image *image, const struct header *h, u64 header_offset,
		      struct flat *f, struct loader_error *error)
{
	u64 before = (u64)h->header_addr - h->load_addr, end;

	if (h->header_addr < h->load_addr || before > header_offset)
		return loader_fail(error, -EINVAL,
				   "the Multiboot header at offset %llx says that it is loaded "
				   "at %x and the kernel at %x, where the file cannot begin; "
				   "fix header_addr or load_addr",
				   (unsigned long long)header_offset, h->header_addr, h->load_addr);
	f->offset = header_offset - before;
	f->base = h->load_addr;
	f->file_size = image->kernel_len - f->offset;
	if (h->load_end_addr) {
		u32 loaded = h->load_end_addr - h->load_addr;

		if (h->load_end_addr < h->load_addr || loaded > f->file_size)
			return loader_fail(error, -EINVAL,
					   "the Multiboot header loads %x-%x, more than the file "
					   "holds (%llu bytes from offset %llx); "
					   "fix load_end_addr or copy the file again",
					   h->load_addr, h->load_end_addr,
					   (unsigned long long)f->file_size,
					   (unsigned long long)f->offset);
		f->file_size = loaded;
	}
	end = f->base + f->file_size;
	if (h->bss_end_addr) {
		if (h->bss_end_addr < end)
			return loader_fail(error, -EINVAL,
					   "the Multiboot header ends the bss at %x, "
					   "before the loaded part ends (%llx); fix bss_end_addr",
					   h->bss_end_addr, (unsigned long long)end);
		end = h->bss_end_addr;
	}
	f->mem_size = end - f->base;
	if (h->entry_addr < f->base || h->entry_addr - f->base >= f->file_size)
		return loader_fail(error, -EINVAL,
				   "the Multiboot entry %x lies outside of what is loaded "
				   "(%llx-%llx); fix entry_addr",
				   h->entry_addr, (unsigned long long)f->base,
				   (unsigned long long)(f->base + f->file_size));
	return 0;
}

static int flat_claim(const struct flat *f, struct guest_layout *l, struct loader_error *error)
{
	if (layout_claim(l, f->base, f->mem_size))
		return loader_fail(error, -ENOSPC,
				   "the kernel does not fit: %llu bytes at %llx are not all usable "
				   "in %llu KiB of RAM (its first 640 KiB, and from 1 MiB up); "
				   "give more mem= or link it elsewhere",
				   (unsigned long long)f->mem_size, (unsigned long long)f->base,
				   (unsigned long long)l->ram >> 10);
	return 0;
}

static int flat_write(const struct flat *f, const struct guest_image *image,
		      const struct guest_memory *memory, struct loader_error *error)
{
	int err = memory->write(memory->ctx, f->base, image->kernel + f->offset, f->file_size);

	if (!err)
		err = memory->zero(memory->ctx, f->base + f->file_size, f->mem_size - f->file_size);
	if (err)
		return loader_fail_write(error, err, f->base);
	return 0;
}

/* The entry of an ELF kernel; e_entry is a virtual address in kernels that are linked high. */
static int find_elf_entry(const struct elf *elf, u32 *eip, struct loader_error *error)
{
	u64 pa = elf->entry;

	(void)elf_virt_to_phys(elf, elf->entry, &pa);
	if (pa >> 32 || !elf_has_code_at(elf, pa))
		return loader_fail(error, -EINVAL,
				   "the ELF entry %llx lies in no segment of the file; "
				   "link it again",
				   (unsigned long long)elf->entry);
	*eip = pa;
	return 0;
}

static const struct start_format multiboot1_format = {
	.structure = sizeof(struct information),
	.module = sizeof(struct module),
	.map_entry = sizeof(struct map_entry),
	.strings = sizeof(loader_name),
	.named_line = true,
};

static int write_information(struct start_info *s, const struct guest_image *image,
			     const gpaddr_t *module_gpa)
{
	struct guest_map_entry map[GUEST_MAP_ENTRIES];
	u32 nr = guest_memory_map(image->ram, map);
	u64 low = MIN(image->ram, GUEST_HOLE_START);
	struct information info = {
		.flags = INFO_MEMORY | INFO_CMDLINE | INFO_MODS | INFO_MEM_MAP | INFO_LOADER_NAME,
		.mem_lower = MIN(low, GUEST_LOW_END) >> 10,
		.mem_upper = low > GUEST_HIGH_START ? (low - GUEST_HIGH_START) >> 10 : 0,
		.mods_count = image->nr_modules,
		.mods_addr = s->modules,
		.mmap_length = nr * sizeof(struct map_entry),
		.mmap_addr = s->map,
	};

	info.boot_loader_name = start_info_write_string(s, loader_name);
	/* Kernels drop the first word, which loaders other than GRUB 2 make the file's name. The
	 * string of a module is the user's alone: some kernels look for their modules by its first
	 * word. */
	info.cmdline = start_info_write_line(s, image->name, image->command_line);
	for (u32 i = 0; i < image->nr_modules; i++) {
		const struct guest_module *from = &image->module[i];
		u32 string = start_info_write_string(s, from->command_line);
		struct module m = { module_gpa[i], module_gpa[i] + from->len, string, 0 };

		start_info_write(s, s->modules + i * sizeof(m), &m, sizeof(m));
	}
	for (u32 i = 0; i < nr; i++) {
		struct map_entry e = { sizeof(e) - sizeof(e.size), map[i].base, map[i].len,
				       map[i].type };

		start_info_write(s, s->map + i * sizeof(e), &e, sizeof(e));
	}
	start_info_write(s, s->structure, &info, sizeof(info));
	return s->err;
}

static int check_requirements(const struct header *h, struct loader_error *error)
{
	u32 unknown = h->flags & HEADER_REQUIREMENTS & ~HEADER_KNOWN;

	if (unknown)
		return loader_fail(error, -EINVAL,
				   "the Multiboot header requires features that are not defined "
				   "(flags %x); clear bits 3 to 15",
				   h->flags);
	if (h->flags & HEADER_VIDEO_MODE)
		log_info("the guest's Multiboot header asks for a video mode: not available; "
			 "the guest is informed");
	return 0;
}

/* The kernel itself, by the header's addresses or by the ELF headers. */
struct body {
	bool is_flat;
	struct flat flat;
	struct elf elf;
	u32 eip;
};

static int claim_body(const struct guest_image *image, struct guest_layout *l, struct body *b,
		      struct loader_error *error)
{
	struct header h;
	u64 offset;
	int err;

	*b = (struct body){ 0 };
	if (!find_multiboot_header(image, &h, &offset))
		return loader_fail(error, -EINVAL, "no Multiboot header in the first 8 KiB");
	err = check_requirements(&h, error);
	if (err)
		return err;
	b->is_flat = h.flags & HEADER_ADDRESSES;
	if (b->is_flat) {
		b->eip = h.entry_addr;
		err = flat_check(image, &h, offset, &b->flat, error);
		return err ? err : flat_claim(&b->flat, l, error);
	}
	err = elf_open(&b->elf, image->kernel, image->kernel_len, error);
	if (!err)
		err = elf_claim(&b->elf, l, error);
	return err ? err : find_elf_entry(&b->elf, &b->eip, error);
}

static int multiboot1_load(const struct guest_image *image, const struct guest_memory *memory,
			   struct guest_entry *entry, struct loader_error *error)
{
	gpaddr_t module_gpa[GUEST_MAX_MODULES];
	struct guest_layout layout;
	struct start_info start;
	struct body body;
	int err;

	layout_init(&layout, image->ram);
	err = claim_body(image, &layout, &body, error);
	if (!err)
		err = ramdisks_place(&layout, image, module_gpa, error);
	if (!err)
		err = start_info_place(&start, &multiboot1_format, image, &layout, error);
	if (err)
		return err;

	start.memory = memory;
	err = body.is_flat ? flat_write(&body.flat, image, memory, error) :
			     elf_write(&body.elf, memory, error);
	if (!err)
		err = ramdisks_write(image, memory, module_gpa, error);
	if (err)
		return err;
	err = write_information(&start, image, module_gpa);
	if (err)
		return loader_fail_write(error, err, start.structure);
	*entry = (struct guest_entry){ .eip = body.eip,
				       .eax = MULTIBOOT_BOOTLOADER_MAGIC,
				       .ebx = start.structure };
	return 0;
}

const struct boot_protocol multiboot1_protocol = {
	.name = "Multiboot",
	.recognize = multiboot1_recognize,
	.load = multiboot1_load,
};
