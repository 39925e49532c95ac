/* A ring of the last events of the IOMMU core, always on: some ten instructions each. Read by the control domain. */
#pragma once

#include <kernel/abi/iommu.h>
#include <kernel/compiler.h>

/* Any context, lock-free. What a and b are is told by the kind: kernel/abi/iommu.h. */
void trace(enum weir_trace_kind kind, u16 owner, u16 who, u64 a, u64 b);
