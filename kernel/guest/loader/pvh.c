/* The PVH boot protocol (Xen, public/arch-x86/hvm/start_info.h): an ELF note gives a 32-bit
 * physical entry point, EBX points to hvm_start_info, version 1, with the modules, the command line
 * and the memory map. */
#include <kernel/guest/devices/guestacpi.h>
#include <kernel/guest/loader/elf.h>
#include <kernel/guest/loader/ramdisk.h>
#include <kernel/guest/loader/startinfo.h>
#include <kernel/guest/memory/guestmap.h>
#include <kernel/lib/errno.h>
#include <kernel/lib/string.h>

#define XEN_ELFNOTE_PHYS32_ENTRY 18
#define XEN_HVM_START_MAGIC_VALUE 0x336ec578u

struct hvm_start_info {
	u32 magic, version, flags, nr_modules;
	u64 modlist_paddr, cmdline_paddr, rsdp_paddr;
	/* since version 1 */
	u64 memmap_paddr;
	u32 memmap_entries, reserved;
};
_Static_assert(sizeof(struct hvm_start_info) == 56, "start_info.h, version 1");

struct hvm_modlist_entry {
	u64 paddr, size, cmdline_paddr, reserved;
};
_Static_assert(sizeof(struct hvm_modlist_entry) == 32, "start_info.h");

struct hvm_memmap_table_entry {
	u64 addr, size;
	u32 type, reserved;
};
_Static_assert(sizeof(struct hvm_memmap_table_entry) == 24, "start_info.h");

static const struct start_format pvh_format = {
	.structure = sizeof(struct hvm_start_info),
	.module = sizeof(struct hvm_modlist_entry),
	.map_entry = sizeof(struct hvm_memmap_table_entry),
};

static bool find_entry_note(const struct elf *elf, struct elf_note *note)
{
	*note = (struct elf_note){ .name = "Xen", .type = XEN_ELFNOTE_PHYS32_ENTRY };
	return elf_find_note(elf, note);
}

static bool pvh_recognize(const struct guest_image *image)
{
	struct loader_error ignored;
	struct elf_note note;
	struct elf elf;

	return !elf_open(&elf, image->kernel, image->kernel_len, &ignored) &&
	       find_entry_note(&elf, &note);
}

/* The note holds 4 bytes, or 8 in some 64-bit kernels. */
static int read_entry_note(const struct elf *elf, u32 *eip, struct loader_error *error)
{
	struct elf_note note;
	u64 value = 0;

	if (!find_entry_note(elf, &note))
		return loader_fail(error, -EINVAL, "no PVH entry (ELF note 18 of \"Xen\")");
	if (note.desc_len != 4 && note.desc_len != 8)
		return loader_fail(error, -EINVAL,
				   "the PVH entry note has %u bytes, not 4 or 8; fix the note",
				   note.desc_len);
	memcpy(&value, note.desc, note.desc_len);
	if (value >> 32 || !elf_has_code_at(elf, value))
		return loader_fail(error, -EINVAL,
				   "the PVH entry %llx lies in no segment of the file; "
				   "the note must hold a physical address",
				   (unsigned long long)value);
	*eip = value;
	return 0;
}

static int write_start_info(struct start_info *s, const struct guest_image *image,
			    const gpaddr_t *module_gpa)
{
	struct guest_map_entry map[GUEST_MAP_ENTRIES];
	u32 nr = guest_memory_map(image->ram, map);
	struct hvm_start_info info = {
		.magic = XEN_HVM_START_MAGIC_VALUE,
		.version = 1,
		.nr_modules = image->nr_modules,
		.modlist_paddr = image->nr_modules ? s->modules : 0,
		.rsdp_paddr = GUEST_RSDP,
		.memmap_paddr = s->map,
		.memmap_entries = nr,
	};

	info.cmdline_paddr = start_info_write_string(s, image->command_line);
	for (u32 i = 0; i < image->nr_modules; i++) {
		const struct guest_module *m = &image->module[i];
		gpaddr_t string = start_info_write_string(s, m->command_line);
		struct hvm_modlist_entry e = { module_gpa[i], m->len, string, 0 };

		start_info_write(s, s->modules + i * sizeof(e), &e, sizeof(e));
	}
	for (u32 i = 0; i < nr; i++) {
		struct hvm_memmap_table_entry e = { map[i].base, map[i].len, map[i].type, 0 };

		start_info_write(s, s->map + i * sizeof(e), &e, sizeof(e));
	}
	start_info_write(s, s->structure, &info, sizeof(info));
	return s->err;
}

static int pvh_load(const struct guest_image *image, const struct guest_memory *memory,
		    struct guest_entry *entry, struct loader_error *error)
{
	gpaddr_t module_gpa[GUEST_MAX_MODULES];
	struct guest_layout layout;
	struct start_info start;
	struct elf elf;
	u32 eip;
	int err;

	layout_init(&layout, image->ram);
	err = elf_open(&elf, image->kernel, image->kernel_len, error);
	if (!err)
		err = read_entry_note(&elf, &eip, error);
	if (!err)
		err = elf_claim(&elf, &layout, error);
	if (!err)
		err = ramdisks_place(&layout, image, module_gpa, error);
	if (!err)
		err = start_info_place(&start, &pvh_format, image, &layout, error);
	if (err)
		return err;

	start.memory = memory;
	err = elf_write(&elf, memory, error);
	if (!err)
		err = ramdisks_write(image, memory, module_gpa, error);
	if (err)
		return err;
	err = write_start_info(&start, image, module_gpa);
	if (err)
		return loader_fail_write(error, err, start.structure);
	*entry = (struct guest_entry){ .eip = eip, .ebx = start.structure, .x2apic = true };
	return 0;
}

const struct boot_protocol pvh_protocol = {
	.name = "PVH",
	.recognize = pvh_recognize,
	.load = pvh_load,
};
