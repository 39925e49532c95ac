/* Copies between Weir and a guest's memory. They may cross pages; -EFAULT where the guest has no
 * RAM. Any context that may take nested.lock. */
#pragma once

#include <kernel/lib/compiler.h>
#include <kernel/lib/types.h>

struct memory;

int __must_check guest_read(struct memory *m, gpaddr_t gpa, void *buf, size_t len);
int __must_check guest_write(struct memory *m, gpaddr_t gpa, const void *buf, size_t len);
int __must_check guest_zero(struct memory *m, gpaddr_t gpa, u64 len);
/* Replace the aligned word of `size` bytes (4 or 8) at gpa if it is `expected`. -EBUSY: it is not;
 * -EFAULT. Atomic. */
int __must_check guest_cmpxchg(struct memory *m, gpaddr_t gpa, unsigned int size, u64 expected,
			       u64 desired);
