/* What GRUB passes to Weir (Multiboot2 Specification 2.0, section 3.6), copied because its memory
 * is reused. */
#pragma once

#include <kernel/lib/compiler.h>
#include <kernel/mm/bootinfo.h>

/* EAX at the entry point. */
#define MULTIBOOT2_BOOTLOADER_MAGIC 0x36d76289u

/* Read the tags in `data`, of which `size` bytes can be read, into *info. A tag that is malformed
 * or does not fit is named in the log and left out. -EINVAL if there is no usable list of tags;
 * *info is valid, perhaps empty, in any case. Boot. */
int __must_check multiboot2_parse(const void *data, size_t size, struct boot_info *info);
