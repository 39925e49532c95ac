/* The PVH boot protocol (Xen, public/arch-x86/hvm/start_info.h): an ELF note gives a 32-bit
 * physical entry point, EBX points to hvm_start_info, version 1, with the modules, the command line
 * and the memory map. */
#include <kernel/lib/errno.h>
#include <kernel/guest/devices/guestacpi.h>
#include <kernel/guest/loader/elf.h>
#include <kernel/guest/loader/guest.h>
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

static bool find_entry(const struct elf *elf, const u8 **desc, u32 *len)
{
	return elf_find_note(elf, "Xen", XEN_ELFNOTE_PHYS32_ENTRY, desc, len);
}

static bool recognize(const struct guest_image *image)
{
	struct loader_error ignored;
	struct elf elf;
	const u8 *desc;
	u32 len;

	return !elf_open(&elf, image->kernel, image->kernel_len, &ignored) &&
	       find_entry(&elf, &desc, &len);
}

/* The note holds 4 bytes, or 8 in some 64-bit kernels. */
static int read_entry(const struct elf *elf, u32 *eip, struct loader_error *error)
{
	u64 value = 0;
	const u8 *desc;
	u32 len;

	if (!find_entry(elf, &desc, &len))
		return loader_fail(error, -EINVAL, "no PVH entry (ELF note 18 of \"Xen\")");
	if (len != 4 && len != 8)
		return loader_fail(error, -EINVAL,
				   "the PVH entry note has %u bytes, not 4 or 8; fix the note", len);
	memcpy(&value, desc, len);
	if (value >> 32 || !elf_has_code_at(elf, value))
		return loader_fail(error, -EINVAL,
				   "the PVH entry %llx lies in no segment of the file; the note must hold a physical address",
				   (unsigned long long)value);
	*eip = value;
	return 0;
}

/* Offsets of the parts in the one block of memory that holds all start structures. */
struct plan {
	gpaddr_t base;
	u64 modlist, memmap, strings, size;
};

static struct plan plan_of(const struct guest_image *image)
{
	struct plan p = { .modlist = sizeof(struct hvm_start_info) };

	p.memmap = p.modlist + image->nr_modules * sizeof(struct hvm_modlist_entry);
	p.strings = p.memmap + GUEST_MAP_ENTRIES * sizeof(struct hvm_memmap_table_entry);
	p.size = p.strings + strlen(image->command_line) + 1;
	for (u32 i = 0; i < image->nr_modules; i++)
		p.size += strlen(image->module[i].command_line) + 1;
	return p;
}

static int put(const struct guest_memory *memory, gpaddr_t gpa, const void *src, size_t len)
{
	return len ? memory->write(memory->ctx, gpa, src, len) : 0;
}

static int write_start_info(const struct guest_image *image, const struct guest_memory *memory,
			    const struct plan *p, const gpaddr_t *module_gpa)
{
	struct guest_map_entry map[GUEST_MAP_ENTRIES];
	u32 nr = guest_memory_map(image->ram, map);
	gpaddr_t string = p->base + p->strings;
	size_t len = strlen(image->command_line) + 1;
	struct hvm_start_info info = {
		.magic = XEN_HVM_START_MAGIC_VALUE,
		.version = 1,
		.nr_modules = image->nr_modules,
		.modlist_paddr = image->nr_modules ? p->base + p->modlist : 0,
		.cmdline_paddr = string,
		.rsdp_paddr = GUEST_RSDP,
		.memmap_paddr = p->base + p->memmap,
		.memmap_entries = nr,
	};
	int err = put(memory, p->base, &info, sizeof(info));

	if (!err)
		err = put(memory, string, image->command_line, len);
	string += len;
	for (u32 i = 0; !err && i < image->nr_modules; i++) {
		const struct guest_module *m = &image->module[i];
		struct hvm_modlist_entry e = { module_gpa[i], m->len, string, 0 };

		len = strlen(m->command_line) + 1;
		err = put(memory, p->base + p->modlist + i * sizeof(e), &e, sizeof(e));
		if (!err)
			err = put(memory, string, m->command_line, len);
		string += len;
	}
	for (u32 i = 0; !err && i < nr; i++) {
		struct hvm_memmap_table_entry e = { map[i].base, map[i].len, map[i].type, 0 };

		err = put(memory, p->base + p->memmap + i * sizeof(e), &e, sizeof(e));
	}
	return err;
}

static int load(const struct guest_image *image, const struct guest_memory *memory,
		struct guest_entry *entry, struct loader_error *error)
{
	gpaddr_t module_gpa[GUEST_MAX_MODULES];
	struct guest_layout layout;
	struct plan plan;
	struct elf elf;
	u32 eip;
	int err;

	err = elf_open(&elf, image->kernel, image->kernel_len, error);
	if (err)
		return err;
	err = read_entry(&elf, &eip, error);
	if (err)
		return err;
	layout_init(&layout, image->ram);
	err = elf_claim(&elf, &layout, error);
	if (err)
		return err;
	err = place_modules(&layout, image, module_gpa, error);
	if (err)
		return err;
	plan = plan_of(image);
	if (!layout_place_low(&layout, plan.size, &plan.base))
		return loader_fail(error, -ENOSPC,
				   "the start information of %llu bytes does not fit: %llu KiB are free in one piece; give more mem=",
				   (unsigned long long)plan.size,
				   (unsigned long long)layout_largest(&layout) >> 10);

	err = elf_write(&elf, memory, error);
	if (err)
		return err;
	err = write_modules(image, memory, module_gpa, error);
	if (err)
		return err;
	err = write_start_info(image, memory, &plan, module_gpa);
	if (err)
		return loader_fail(error, err, "guest memory at %llx can not be written: error %d",
				   (unsigned long long)plan.base, err);
	*entry = (struct guest_entry){ .eip = eip, .eax = 0, .ebx = plan.base, .x2apic = true };
	return 0;
}

const struct boot_protocol pvh_protocol = { "PVH", recognize, load };
