/* The page of a virtual local APIC in xAPIC mode (SDM vol. 3, 11.4.1). All vCPUs have theirs at the
 * same address. */
#pragma once

#include <kernel/lib/compiler.h>

struct vm;

/* Trap the page. -ENOSPC, -EEXIST. Boot. */
int __must_check vlapicpage_add(struct vm *vm);
