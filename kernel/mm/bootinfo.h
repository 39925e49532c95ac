/* The boot loader's information, copied because its memory is reused. */
#pragma once

#include <kernel/mm/memmap.h>

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
