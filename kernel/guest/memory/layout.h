/* Where a guest's RAM is: from 0 up, with a hole below 4 GiB for device registers and
 * interrupts. */
#pragma once

#include <kernel/lib/types.h>

#define GUEST_HOLE_START 0xc0000000UL /* RAM stops here ... */
#define GUEST_HOLE_END 0x100000000UL /* ... and goes on here */
