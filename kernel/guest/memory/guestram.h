/* A guest's RAM, read and written in place, on behalf of one vCPU. Copies: guestcopy.h.
 *
 * nested.lock is held from guest_ram_begin() to guest_ram_end(), so what the pointers point to
 * stays the guest's until then. The leaves found last are kept, until an unmap raises
 * nested.generation under the same lock: what lies in one of them is found without a walk of the
 * nested tables. */
#pragma once

#include <kernel/guest/memory/nested.h>
#include <kernel/lib/compiler.h>

#define GUEST_RAM_LEAVES 8 /* by bits of the address above those within 2 MiB */

struct guest_ram_leaf {
	gpaddr_t start;
	u64 size; /* 0: none yet */
	char *at;
} __aligned(32); /* so that the place of one costs no multiplication */

struct guest_ram {
	struct nested *nested;
	u64 generation; /* nested.generation when the leaves were found; 0: there are none */
	struct guest_ram_leaf leaf[GUEST_RAM_LEAVES];
};

/* Forget the leaves. */
static inline void guest_ram_forget(struct guest_ram *r)
{
	r->generation = 0;
	for (unsigned int i = 0; i < GUEST_RAM_LEAVES; i++)
		r->leaf[i].size = 0;
}

/* Under nested.lock. */
static inline void guest_ram_refresh(struct guest_ram *r, struct nested *n)
{
	if (unlikely(r->generation != n->generation)) {
		guest_ram_forget(r);
		r->generation = n->generation;
		r->nested = n;
	}
}

/* Any context that may take nested.lock. */
static inline void guest_ram_begin(struct guest_ram *r, struct nested *n)
{
	spin_lock(&n->lock);
	guest_ram_refresh(r, n);
}

static inline void guest_ram_end(struct nested *n)
{
	spin_unlock(&n->lock);
}

static inline struct guest_ram_leaf *guest_ram_leaf(struct guest_ram *r, gpaddr_t gpa)
{
	return &r->leaf[gpa >> (PAGE_SHIFT + ORDER_2M) & (GUEST_RAM_LEAVES - 1)];
}

/* Find the leaf that has gpa, and put it where guest_ram_leaf() looks. False: it is not the guest's
 * RAM. */
bool guest_ram_find(struct guest_ram *r, gpaddr_t gpa);

/* The byte at gpa, and those behind it in the same page. NULL: it is not the guest's RAM. */
static inline void *guest_ram_at(struct guest_ram *r, gpaddr_t gpa)
{
	const struct guest_ram_leaf *leaf = guest_ram_leaf(r, gpa);

	if (unlikely(gpa - leaf->start >= leaf->size) && !guest_ram_find(r, gpa))
		return NULL;
	return leaf->at + (gpa - leaf->start);
}
