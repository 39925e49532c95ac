/* Finds PCI functions that have come since the boot, and looks at those that are known. */
#pragma once

#include <kernel/lib/compiler.h>

/* Look at one function number, or skip a bus that nothing leads to. *position is 0 at first; true
 * if there is more. -EBUSY: another CPU is doing this. No lock is held. */
int __must_check rescan_step(u32 *position);
