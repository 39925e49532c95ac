/* What the loader handed over. The same guest starts by Multiboot 1 (Multiboot specification 0.6.96, 3.2 and 3.3) and by
 * the PVH protocol (xen/include/public/arch-x86/hvm/start_info.h). */
#pragma once

#include <kernel/compiler.h>

enum boot_protocol { BOOT_MULTIBOOT1 = 1, BOOT_PVH = 2 };

struct boot_range {
	u64 base, size;
};

#define BOOT_MAX_RANGES 32
#define BOOT_MAX_MODULES 16

struct boot_info {
	enum boot_protocol protocol;
	char command_line[1024];
	struct boot_range ram[BOOT_MAX_RANGES]; /* usable memory, as the loader says */
	u32 nr_ram;
	struct boot_range module[BOOT_MAX_MODULES];
	u32 nr_modules;
	struct boot_range self[3]; /* the loader's own structures that are still needed, to keep out of use */
};
extern struct boot_info boot;

/* Read what the loader left. Returns 0, or a text that says why it can not be used. */
const char *boot_parse(enum boot_protocol protocol, u64 info);

/* The application. When it returns, the machine is powered off. */
int main(void);
