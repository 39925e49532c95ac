/* The loader's memory map, as memory.c needs it. */
#pragma once

#include "runtime.h"

#define BOOT_MAX_REGIONS 32

const struct memory_region *boot_usable(u32 *nr);
/* The image, modules, start information: parts of usable regions */
const struct memory_region *boot_used(u32 *nr);
