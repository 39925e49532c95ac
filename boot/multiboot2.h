/* What GRUB hands over (Multiboot2 Specification 2.0, section 3.6), copied out, since its memory
 * gets reused. */
#pragma once

#include <kernel/lib/compiler.h>
#include <kernel/mm/memmap.h>

/* EAX at the entry point. */
#define MULTIBOOT2_BOOTLOADER_MAGIC 0x36d76289u

#define BOOT_MAX_MODULES 64
#define BOOT_MAX_RANGES 256
#define BOOT_CMDLINE_SIZE 1024
/* For all the modules' lines together. */
#define BOOT_STRINGS_SIZE 8192

/* A file that GRUB loaded: [start, end) with the rest of its menu line (the file's name not
 * included by GRUB). */
struct boot_module {
	paddr_t start, end;
	const char *line;
};

struct boot_info {
	char cmdline[BOOT_CMDLINE_SIZE];
	u32 nr_ranges; /* as the firmware gave them: unsorted, may overlap */
	struct memmap_entry range[BOOT_MAX_RANGES];
	u32 nr_modules;
	struct boot_module module[BOOT_MAX_MODULES];
	u32 rsdp_length; /* 0: there is none */
	u8 rsdp[64]; /* the root pointer itself, ACPI 2.0's if there is one; not verified yet */
	u32 strings_used;
	char strings[BOOT_STRINGS_SIZE];
};

extern struct boot_info boot_info;

/* Read the tags in `data` (`size` bytes can be read) into *info. What is malformed or does not fit
 * is named in the log and left out. -EINVAL if there is no usable list of tags at all; *info is
 * valid, maybe empty, in any case. */
int __must_check multiboot2_parse(const void *data, size_t size, struct boot_info *info);
