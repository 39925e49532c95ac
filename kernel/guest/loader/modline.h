/* GRUB's module lines: the configuration of the domains. The grammar, with examples and every
 * message, is in docs/guests.md.
 *
 *	[path] kernel name=NAME mem=SIZE [vcpus=N] [pci=BDF[,ats][,BDF[,ats]...]]... [prio=N]
 *	       [cpu=N] [restart=WHEN] [halt=WHAT] [legacy=on|off] [control] [balloon]
 *	       [-- guest command line]
 *	[path] ramdisk=NAME [-- text passed to the guest with it]
 */
#pragma once

#include <kernel/guest/domain/domain.h>
#include <kernel/lib/compiler.h>
#include <kernel/lib/pci_id.h>

#define MODLINE_MAX_DEVICES 16
#define MODLINE_MIN_MEMORY (2UL << 20)
#define MODLINE_MAX_MEMORY (1UL << 40)
#define MODLINE_DEFAULT_PRIORITY 128

enum module_kind { MODULE_KERNEL, MODULE_RAMDISK };

struct module_line {
	enum module_kind kind;
	char domain[DOMAIN_NAME_MAX]; /* name= or ramdisk= */
	u64 memory; /* bytes, a multiple of the page size */
	u32 vcpus;
	u8 priority; /* higher ones run first */
	s32 cpu; /* where its first vCPU runs; -1: Weir chooses */
	u32 nr_devices;
	struct pci_id device[MODLINE_MAX_DEVICES];
	/* The device may use its own TLB, and is trusted with all memory. */
	bool ats[MODLINE_MAX_DEVICES];
	enum restart_policy restart;
	enum halt_policy halt;
	bool legacy; /* it has a PC's chips (kernel/guest/devices/legacy/legacy.h) */
	bool control; /* the control domain */
	bool balloon; /* it has a balloon (kernel/guest/devices/virtio/vballoon.h) */
	const char *command_line; /* points into the line that was parsed; "" if there is none */
};

/* The word, what is wrong with it, and the remedy: one printable line. The word may be shortened,
 * the remedy never. */
struct module_error {
	char text[256];
};

/* Parse one module line, with or without the file name that some versions of GRUB leave in front.
 * -EINVAL with *error filled in. Only the text is checked: whether the device and the memory exist
 * is found out later. */
int __must_check modline_parse(const char *line, struct module_line *out, struct module_error *e);
