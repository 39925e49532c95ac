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
static inline bool guest_is_ram(struct memory *m, gpaddr_t gpa)
{
	u8 byte;

	return !guest_read(m, gpa, &byte, 1);
}

/* A guest's RAM, read and written in place. nested.lock is held from begin to end, so what the
 * pointers point to stays the guest's until then, and so does the last leaf that was found: what
 * lies in the same leaf is found without another walk. */
struct guest_ram {
	struct memory *m;
	gpaddr_t start; /* of the last leaf */
	u64 size; /* 0: none yet */
	char *at;
};

static inline void guest_ram_begin(struct guest_ram *r, struct memory *m)
{
	r->m = m;
	r->start = r->size = 0;
	spin_lock(&m->nested.lock);
}

static inline void guest_ram_end(struct guest_ram *r)
{
	spin_unlock(&r->m->nested.lock);
}

/* Look for the leaf that has gpa. False: it is not the guest's RAM. */
bool guest_ram_find(struct guest_ram *r, gpaddr_t gpa);

/* The byte at gpa, and those behind it in the same page. NULL: it is not the guest's RAM. */
static inline void *guest_ram_at(struct guest_ram *r, gpaddr_t gpa)
{
	if (gpa - r->start >= r->size && !guest_ram_find(r, gpa))
		return NULL;
	return r->at + (gpa - r->start);
}
