/* Copies between Weir's memory and a guest's. A range may cross page boundaries; gpa and len are in
 * bytes. -EFAULT: part of the range is not the guest's RAM; earlier pages have been copied. Any
 * context that may take nested.lock. */
#pragma once

#include <kernel/guest/memory/memory.h>
#include <kernel/lib/compiler.h>

int __must_check guest_read(struct memory *m, gpaddr_t gpa, void *buf, size_t len);
int __must_check guest_write(struct memory *m, gpaddr_t gpa, const void *buf, size_t len);
int __must_check guest_zero(struct memory *m, gpaddr_t gpa, u64 len);
/* Atomically replace the aligned word of `size` bytes (4 or 8) at gpa with `desired` if it equals
 * `expected`. -EBUSY: it does not; -EFAULT. */
int __must_check guest_cmpxchg(struct memory *m, gpaddr_t gpa, unsigned int size, u64 expected,
			       u64 desired);

/* True if the guest has RAM at gpa now; another vCPU may take it away at any time. */
bool guest_is_ram(struct memory *m, gpaddr_t gpa);
