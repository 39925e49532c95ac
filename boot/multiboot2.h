/* What GRUB hands over (Multiboot2 Specification 2.0, section 3.6), copied out, since its memory
 * gets reused. */
#pragma once

#include <kernel/lib/compiler.h>
#include <kernel/mm/bootinfo.h>

/* EAX at the entry point. */
#define MULTIBOOT2_BOOTLOADER_MAGIC 0x36d76289u

/* Read the tags in `data` (`size` bytes can be read) into *info. What is malformed or does not fit
 * is named in the log and left out. -EINVAL if there is no usable list of tags at all; *info is
 * valid, maybe empty, in any case. */
int __must_check multiboot2_parse(const void *data, size_t size, struct boot_info *info);
