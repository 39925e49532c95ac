/* How a guest's first vCPU starts: 32-bit protected mode, flat segments, paging off (multiboot 1, PVH). */
#pragma once

#include <kernel/types.h>

struct guest_entry {
	u32 eip, eax, ebx;
};
