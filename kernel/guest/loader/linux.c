/* The Linux/x86 boot protocol (Documentation/arch/x86/boot.rst), its 32-bit entry: a bzImage is
 * loaded where it prefers, and unpacks itself. ESI points to boot_params, the "zero page", with the
 * command line, the ramdisk, the memory map and the RSDP. */
#include <kernel/guest/devices/guestacpi.h>
#include <kernel/guest/loader/ramdisk.h>
#include <kernel/guest/loader/startinfo.h>
#include <kernel/guest/memory/guestmap.h>
#include <kernel/lib/errno.h>
#include <kernel/lib/string.h>

#define SECTOR 512
#define BOOT_FLAG 0xaa55
#define HEADER_MAGIC 0x53726448u /* "HdrS" */
/* Since 2.10 a kernel says where it prefers to be loaded, and how much memory it needs there. */
#define MIN_VERSION 0x20a
#define LOADED_HIGH BIT(0)
#define LOADER_UNDEFINED 0xff
#define KERNEL_64 BIT(0) /* of xloadflags, since 2.12 */

/* The setup header, at this offset both in the file and in boot_params. */
#define HEADER_OFFSET 0x1f1
struct setup_header {
	u8 setup_sects;
	u16 root_flags;
	u32 syssize; /* of the protected-mode part, in 16 bytes */
	u16 ram_size, vid_mode, root_dev, boot_flag;
	u8 jump_opcode, jump_length; /* the header ends where the jump leads */
	u32 header;
	u16 version;
	u32 realmode_swtch;
	u16 start_sys_seg, kernel_version;
	u8 type_of_loader, loadflags;
	u16 setup_move_size;
	u32 code32_start, ramdisk_image, ramdisk_size, bootsect_kludge;
	u16 heap_end_ptr;
	u8 ext_loader_ver, ext_loader_type;
	u32 cmd_line_ptr, initrd_addr_max, kernel_alignment;
	u8 relocatable_kernel, min_alignment;
	u16 xloadflags;
	u32 cmdline_size, hardware_subarch;
	u64 hardware_subarch_data;
	u32 payload_offset, payload_length;
	u64 setup_data, pref_address;
	u32 init_size;
} __packed;
_Static_assert(HEADER_OFFSET + offsetof(struct setup_header, boot_flag) == 0x1fe, "boot.rst");
_Static_assert(HEADER_OFFSET + offsetof(struct setup_header, header) == 0x202, "boot.rst");
_Static_assert(HEADER_OFFSET + offsetof(struct setup_header, code32_start) == 0x214, "boot.rst");
_Static_assert(HEADER_OFFSET + offsetof(struct setup_header, cmd_line_ptr) == 0x228, "boot.rst");
_Static_assert(HEADER_OFFSET + offsetof(struct setup_header, pref_address) == 0x258, "boot.rst");
_Static_assert(HEADER_OFFSET + sizeof(struct setup_header) == 0x264, "boot.rst, version 2.10");

struct e820_entry {
	u64 addr, size;
	u32 type;
} __packed;
_Static_assert(sizeof(struct e820_entry) == 20, "zero-page.rst");

/* The fields of the zero page that are filled in; all others are zero. */
#define ZERO_PAGE_RSDP 0x70
#define ZERO_PAGE_E820_ENTRIES 0x1e8
#define ZERO_PAGE_E820_TABLE 0x2d0
#define ZERO_PAGE_SIZE 4096
/* Newer kernels have longer headers. All of it is copied, up to edd_mbr_sig_buffer. */
#define HEADER_END_MAX 0x290

static bool read_setup_header(const struct guest_image *image, struct setup_header *h)
{
	if (image->kernel_len < HEADER_OFFSET + sizeof(*h))
		return false;
	memcpy(h, image->kernel + HEADER_OFFSET, sizeof(*h));
	return h->boot_flag == BOOT_FLAG && h->header == HEADER_MAGIC;
}

static bool linux_recognize(const struct guest_image *image)
{
	struct setup_header h;

	return read_setup_header(image, &h);
}

/* The part of the file that is loaded. */
struct payload {
	u64 offset, size;
};

/* No Linux: a program that calls the BIOS has this header to be started from real mode. It has no
 * protected-mode part that the header could describe. */
static bool begins_in_real_mode(const struct setup_header *h)
{
	return !h->code32_start || (h->version < MIN_VERSION && !h->syssize);
}

static int check_setup_header(const struct guest_image *image, const struct setup_header *h,
			      struct payload *p, struct loader_error *error)
{
	u64 wanted = (u64)h->syssize * 16;
	unsigned long long line_len = strlen(image->command_line);

	if (begins_in_real_mode(h))
		return loader_fail(
			error, -EINVAL,
			"this file has a Linux kernel's header, but only a 16-bit entry, "
			"like ipxe.lkrn and memdisk: it needs a PC's BIOS, and guests "
			"have none");
	/* It is loaded where it wants to be, so it need not be relocatable. */
	if (h->version < MIN_VERSION || !(h->loadflags & LOADED_HIGH))
		return loader_fail(error, -EINVAL,
				   "a Linux kernel of boot protocol %u.%02u, loadflags %x: Weir "
				   "starts bzImages of 2.10 or later (Linux 2.6.31)",
				   h->version >> 8, h->version & 0xff, h->loadflags);
	/* 0 means 4, as in very old kernels. The boot sector is not counted. */
	p->offset = (u64)SECTOR * ((h->setup_sects ? h->setup_sects : 4) + 1u);
	/* The last 16 bytes need not be complete; a signature may follow. */
	if (!wanted || p->offset > image->kernel_len || wanted > image->kernel_len - p->offset + 15)
		return loader_fail(error, -EINVAL,
				   "the bzImage has %llu bytes, but its header says %llu and %llu; "
				   "it is truncated, copy it again",
				   (unsigned long long)image->kernel_len,
				   (unsigned long long)p->offset, (unsigned long long)wanted);
	p->size = image->kernel_len - p->offset;
	if (p->size > h->init_size)
		p->size = MIN(p->size, wanted);
	if (p->size > h->init_size || h->pref_address >> 32)
		return loader_fail(error, -EINVAL,
				   "the bzImage asks for %u bytes at %llx for its %llu, "
				   "which cannot be right; copy it again",
				   h->init_size, (unsigned long long)h->pref_address,
				   (unsigned long long)p->size);
	if (line_len > h->cmdline_size)
		return loader_fail(error, -EINVAL,
				   "this kernel takes a command line of at most %u bytes, "
				   "and this one has %llu; shorten it",
				   h->cmdline_size, line_len);
	if (image->nr_modules > 1)
		return loader_fail(error, -EINVAL,
				   "%u ramdisks, but Linux takes one: "
				   "join them, one cpio archive after the other",
				   image->nr_modules);
	return 0;
}

static int write_zero_page(const struct guest_image *image, const struct guest_memory *memory,
			   struct setup_header *h, gpaddr_t zero_page, const gpaddr_t *ramdisk)
{
	struct guest_map_entry map[GUEST_MAP_ENTRIES];
	u8 nr = (u8)guest_memory_map(image->ram, map);
	/* The file is longer than that: two sectors at least precede the payload. */
	u32 end = MIN(0x202u + h->jump_length, (u32)HEADER_END_MAX);
	u64 rsdp = GUEST_RSDP;
	int err = memory->zero(memory->ctx, zero_page, ZERO_PAGE_SIZE);

	h->type_of_loader = LOADER_UNDEFINED;
	h->cmd_line_ptr = (u32)zero_page + ZERO_PAGE_SIZE;
	h->ramdisk_image = image->nr_modules ? (u32)ramdisk[0] : 0;
	h->ramdisk_size = image->nr_modules ? (u32)image->module[0].len : 0;
	h->setup_data = 0;
	if (!err && end > HEADER_OFFSET)
		err = memory->write(memory->ctx, zero_page + HEADER_OFFSET,
				    image->kernel + HEADER_OFFSET, end - HEADER_OFFSET);
	if (!err)
		err = memory->write(memory->ctx, zero_page + HEADER_OFFSET, h, sizeof(*h));
	if (!err)
		err = memory->write(memory->ctx, zero_page + ZERO_PAGE_RSDP, &rsdp, sizeof(rsdp));
	if (!err)
		err = memory->write(memory->ctx, zero_page + ZERO_PAGE_E820_ENTRIES, &nr, 1);
	for (u32 i = 0; !err && i < nr; i++) {
		struct e820_entry e = { map[i].base, map[i].len, map[i].type };

		err = memory->write(memory->ctx, zero_page + ZERO_PAGE_E820_TABLE + i * sizeof(e),
				    &e, sizeof(e));
	}
	if (!err)
		err = memory->write(memory->ctx, h->cmd_line_ptr, image->command_line,
				    strlen(image->command_line) + 1);
	return err;
}

/* Occupy the memory where the kernel wants to be loaded, and where it unpacks itself. */
static int claim_bzimage(struct guest_layout *layout, const struct setup_header *h,
			 struct loader_error *error)
{
	if (layout_claim(layout, h->pref_address, h->init_size))
		return loader_fail(error, -ENOSPC,
				   "the bzImage does not fit: it needs %u KiB at %llx "
				   "to unpack itself, and there are %llu KiB of RAM; "
				   "give more mem=",
				   h->init_size >> 10, (unsigned long long)h->pref_address,
				   (unsigned long long)layout->ram >> 10);
	if (h->initrd_addr_max)
		layout_limit(layout, h->initrd_addr_max);
	return 0;
}

static int linux_load(const struct guest_image *image, const struct guest_memory *memory,
		      struct guest_entry *entry, struct loader_error *error)
{
	u64 start_size = ZERO_PAGE_SIZE + strlen(image->command_line) + 1;
	gpaddr_t ramdisk[GUEST_MAX_MODULES], zero_page;
	struct guest_layout layout;
	struct setup_header h;
	struct payload p;
	int err;

	if (!read_setup_header(image, &h))
		return loader_fail(error, -EINVAL, "no Linux setup header");
	layout_init(&layout, image->ram);
	err = check_setup_header(image, &h, &p, error);
	if (!err)
		err = claim_bzimage(&layout, &h, error);
	if (!err)
		err = ramdisks_place(&layout, image, ramdisk, error);
	if (!err)
		err = start_info_room(&layout, start_size, &zero_page, error);
	if (err)
		return err;

	err = memory->write(memory->ctx, h.pref_address, image->kernel + p.offset, p.size);
	if (err)
		return loader_fail_write(error, err, h.pref_address);
	err = ramdisks_write(image, memory, ramdisk, error);
	if (err)
		return err;
	err = write_zero_page(image, memory, &h, zero_page, ramdisk);
	if (err)
		return loader_fail_write(error, err, zero_page);
	*entry = (struct guest_entry){
		.eip = (u32)h.pref_address,
		.esi = (u32)zero_page,
		/* A 32-bit kernel does not know that mode. One that is older than the flag asks
		 * for it itself. */
		.x2apic = h.xloadflags & KERNEL_64,
	};
	return 0;
}

const struct boot_protocol linux_protocol = {
	.name = "Linux",
	.recognize = linux_recognize,
	.load = linux_load,
};
