/* Accesses a guest's linear memory on behalf of its instructions. */
#include <kernel/guest/emulate/guestlinear.h>

#include <kernel/guest/emulate/guestwalk.h>
#include <kernel/guest/memory/guestcopy.h>
#include <kernel/guest/vcpu/backend.h>
#include <kernel/guest/vcpu/inject.h>
#include <kernel/lib/errno.h>
#include <kernel/lib/string.h>
#include <kernel/x86/control.h>

static bool canonical(const struct vcpu_mode *m, u64 linear)
{
	/* What is canonical with 48 bits is so with 57, too. */
	if (linear + BIT(47) < BIT(48) || !(m->efer & EFER_LMA))
		return true;
	return (m->cr4 & CR4_LA57) && linear + BIT(56) < BIT(57);
}

static u32 user_access(const struct vcpu_mode *m)
{
	return m->cpl == 3 ? WALK_USER : 0;
}

static int translate(struct guest_view *g, u64 linear, u32 access, gpaddr_t *gpa, u32 *error)
{
	struct nested *n = &g->v->vm->memory.nested;
	int ret;

	guest_ram_begin(&g->v->ram, n);
	ret = guest_walk(g, linear, access, gpa, error);
	guest_ram_end(n);
	return ret;
}

int guest_translate(struct guest_view *g, u64 linear, bool write, gpaddr_t *gpa)
{
	u32 error;
	int ret;

	if (!canonical(&g->mode, linear)) {
		inject_gp(g->v);
		return -EFAULT;
	}
	ret = translate(g, linear, (write ? WALK_WRITE : 0) | user_access(&g->mode), gpa, &error);
	if (ret)
		inject_pf(g->v, linear, error);
	return ret;
}

int guest_translate_as(struct vcpu *v, u64 linear, u32 access, gpaddr_t *gpa, u32 *error)
{
	struct guest_view g;

	guest_view(&g, v);
	return translate(&g, linear, access, gpa, error);
}

/* Where the byte of code is that is `offset` behind the instruction pointer. */
static u64 code_linear(const struct guest_view *g, unsigned int offset)
{
	u64 rip = g->v->rip + offset;

	return mode_is_64bit(&g->mode) ? rip : (u32)(g->mode.cs_base + rip);
}

/* The byte of code at this address, and those behind it in the same page. NULL: it cannot be
 * fetched. Between guest_ram_begin() and guest_ram_end(). */
static __always_inline const u8 *code_at(struct guest_view *g, u64 linear)
{
	gpaddr_t gpa;
	u32 error;

	if (guest_walk(g, linear, WALK_FETCH | user_access(&g->mode), &gpa, &error))
		return NULL;
	return guest_ram_at(&g->v->ram, gpa);
}

int guest_first_byte(struct guest_view *g)
{
	struct nested *n = &g->v->vm->memory.nested;
	int byte = -EFAULT;
	const u8 *at;

	guest_ram_begin(&g->v->ram, n);
	at = code_at(g, code_linear(g, 0)); /* canonical: the processor has just fetched it */
	if (at)
		byte = *at;
	guest_ram_end(n);
	return byte;
}

unsigned int guest_fetch_all(struct guest_view *g, u8 bytes[15])
{
	struct nested *n = &g->v->vm->memory.nested;
	unsigned int got = 0;

	guest_ram_begin(&g->v->ram, n);
	while (got < 15) {
		u64 linear = code_linear(g, got);
		const u8 *at = canonical(&g->mode, linear) ? code_at(g, linear) : NULL;
		size_t part = MIN(15 - got, PAGE_SIZE - (linear & (PAGE_SIZE - 1)));

		if (!at)
			break;
		if (likely(part == 15))
			__builtin_memcpy(bytes, at, 15); /* without a call */
		else
			memcpy(bytes + got, at, part);
		got += (unsigned int)part;
	}
	guest_ram_end(n);
	return got;
}

unsigned int guest_fetch(struct vcpu *v, u8 bytes[15])
{
	struct guest_view g;

	guest_view(&g, v);
	return guest_fetch_all(&g, bytes);
}
