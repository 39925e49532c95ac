/* The MSR permission map (15.11) and the I/O permission map (15.10.1), shared by all guests. */
#pragma once

#include <kernel/lib/compiler.h>
#include <kernel/lib/types.h>

/* Create the maps, unless they exist. Each CPU, at boot. -ENOMEM. */
int __must_check svm_maps_init(void);
/* The physical addresses of the maps, for the VMCB. */
paddr_t svm_msrpm(void);
paddr_t svm_iopm(void);
