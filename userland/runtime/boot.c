/* Reads what the loader passes: command line, memory map, memory already in use. Protocols: PVH
 * (Xen, arch-x86/hvm/start_info.h) and Multiboot 0.6.96 (3.3). */
#include "boot.h"

#include <stdlib.h>
#include <string.h>
#include <kernel/lib/string.h>
#include "runtime.h"

#define PVH_MAGIC 0x336ec578u
#define MULTIBOOT_MAGIC 0x2badb002u
#define MEMORY_USABLE 1

struct hvm_start_info {
	u32 magic, version, flags, nr_modules;
	u64 modlist, cmdline, rsdp;
	u64 memmap; /* since version 1 */
	u32 memmap_entries, reserved;
};
_Static_assert(sizeof(struct hvm_start_info) == 56, "start_info.h");

struct hvm_modlist_entry {
	u64 base, size, cmdline, reserved;
};

struct hvm_memmap_entry {
	u64 base, size;
	u32 type, reserved;
};

#define INFO_CMDLINE BIT(2)
#define INFO_MODS BIT(3)
#define INFO_MEM_MAP BIT(6)

struct multiboot_information {
	u32 flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr, syms[4],
		mmap_length, mmap_addr;
};
_Static_assert(sizeof(struct multiboot_information) == 52, "Multiboot 3.3");

struct multiboot_module {
	u32 start, end, string, reserved;
};

struct multiboot_map_entry {
	u32 size; /* of the fields after this one */
	u64 base, length;
	u32 type;
} __packed;
_Static_assert(sizeof(struct multiboot_map_entry) == 24, "Multiboot 3.3");

extern u32 start_magic, start_information;
extern char image_start[], bss_end[];

static char line[1024];
static const char *protocol;
static struct memory_region usable[BOOT_MAX_REGIONS], used[BOOT_MAX_REGIONS];
static u32 nr_usable, nr_used;

static void add(struct memory_region *list, u32 *nr, u64 base, u64 size, const char *what)
{
	if (!size)
		return;
	if (*nr == BOOT_MAX_REGIONS)
		fatal("the loader reports more than %u %s memory regions", BOOT_MAX_REGIONS, what);
	list[(*nr)++] = (struct memory_region){ base, size };
}

static void take_line(u64 address)
{
	if (address && !copy_string(line, (const char *)address, sizeof(line)))
		print("boot: the command line is longer than %zu characters; the rest is ignored\n",
		      sizeof(line) - 1);
}

/* Weir and QEMU put a name in front. */
static u64 after_first_word(u64 address)
{
	const char *p = (const char *)address;

	while (*p && *p != ' ')
		p++;
	while (*p == ' ')
		p++;
	return (u64)p;
}

static void mark_used(u64 base, u64 size)
{
	add(used, &nr_used, base, size, "used");
}

static void take_pvh(const struct hvm_start_info *info)
{
	const struct hvm_modlist_entry *module = (const void *)info->modlist;
	const struct hvm_memmap_entry *map;

	protocol = "PVH";
	take_line(info->cmdline);
	mark_used((u64)info, sizeof(*info));
	for (u32 i = 0; i < info->nr_modules; i++)
		mark_used(module[i].base, module[i].size);
	if (info->version < 1 || !info->memmap)
		fatal("the PVH start information (version %u) has no memory map", info->version);
	map = (const void *)info->memmap;
	for (u32 i = 0; i < info->memmap_entries; i++)
		if (map[i].type == MEMORY_USABLE)
			add(usable, &nr_usable, map[i].base, map[i].size, "usable");
}

static void take_multiboot(const struct multiboot_information *info)
{
	const struct multiboot_module *module = (const void *)(u64)info->mods_addr;
	u64 at = info->mmap_addr, end = at + info->mmap_length;

	protocol = "Multiboot";
	mark_used((u64)info, sizeof(*info));
	if (info->flags & INFO_CMDLINE)
		take_line(after_first_word(info->cmdline));
	if (info->flags & INFO_MODS)
		for (u32 i = 0; i < info->mods_count; i++)
			mark_used(module[i].start, module[i].end - module[i].start);
	if (!(info->flags & INFO_MEM_MAP))
		fatal("the Multiboot information has no memory map");
	while (at < end) {
		const struct multiboot_map_entry *e = (const void *)at;

		if (e->type == MEMORY_USABLE)
			add(usable, &nr_usable, e->base, e->length, "usable");
		at += e->size + sizeof(e->size);
	}
}

void boot_init(void)
{
	const struct hvm_start_info *info = (const void *)(u64)start_information;

	mark_used((u64)image_start, (u64)(bss_end - image_start));
	if (start_magic == MULTIBOOT_MAGIC)
		take_multiboot((const void *)info);
	else if (info && info->magic == PVH_MAGIC)
		take_pvh(info);
	else
		fatal("not started by Multiboot (EAX is %x) or PVH", start_magic);
}

const struct memory_region *boot_usable(u32 *nr)
{
	*nr = nr_usable;
	return usable;
}

const struct memory_region *boot_used(u32 *nr)
{
	*nr = nr_used;
	return used;
}

u64 memory_total(void)
{
	u64 sum = 0;

	for (u32 i = 0; i < nr_usable; i++)
		sum += usable[i].size;
	return sum;
}

const char *command_line(void)
{
	return line;
}

const char *boot_protocol(void)
{
	return protocol;
}

const char *option(const char *key)
{
	static char value[128];
	size_t n = strlen(key);

	for (const char *p = line; *p; p++) {
		size_t len = 0;

		if (p != line && p[-1] != ' ')
			continue;
		if (strncmp(p, key, n) || p[n] != '=')
			continue;
		for (p += n + 1; p[len] && p[len] != ' ' && len + 1 < sizeof(value); len++)
			value[len] = p[len];
		value[len] = 0;
		return value;
	}
	return NULL;
}

u64 option_number(const char *key, u64 otherwise)
{
	const char *value = option(key);

	return value ? strtoul(value, NULL, 0) : otherwise;
}
