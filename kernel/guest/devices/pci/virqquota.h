/* Host vectors of functions. A CPU has 176 at most, and it is the guest that decides which of its
 * vCPUs takes a message. So a function reserves its vectors on each CPU that runs a vCPU of its
 * domain, when it is attached, and the guest sees no more MSI-X vectors than that. Nobody can take
 * what all others may need: some vectors are kept for each function that no domain has yet. */
#pragma once

#include <kernel/lib/compiler.h>

struct vfunction;

/* Reserve up to `want` vectors, and at least `need`, on each of the CPUs: f->reserved says how
 * many. *cpu: the CPU that had the least. -ENOSPC: it has fewer than `need`. No lock is held. */
int __must_check virqquota_reserve(struct vfunction *f, u32 need, u32 want, u32 *cpu);
/* Give them back. None of them is in use. No lock is held. */
void virqquota_release(struct vfunction *f);
