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
	unsigned int bits = m->cr4 & CR4_LA57 ? 57 : 48;
	u64 extended = (u64)((s64)(linear << (64 - bits)) >> (64 - bits));

	return !(m->efer & EFER_LMA) || extended == linear;
}

static u32 user_access(const struct vcpu_mode *m)
{
	return m->cpl == 3 ? WALK_USER : 0;
}

static int translate(struct guest_view *g, u64 linear, u32 access, gpaddr_t *gpa, u32 *error)
{
	int ret;

	guest_ram_begin(&g->ram, &g->v->vm->memory);
	ret = guest_walk(g, linear, access, gpa, error);
	guest_ram_end(&g->ram);
	return ret;
}

int guest_translate(struct vcpu *v, u64 linear, bool write, gpaddr_t *gpa)
{
	struct guest_view g;
	u32 error;
	int ret;

	g.v = v;
	vcpu_backend->mode(v, &g.mode);
	if (!canonical(&g.mode, linear)) {
		inject_gp(v);
		return -EFAULT;
	}
	ret = translate(&g, linear, (write ? WALK_WRITE : 0) | user_access(&g.mode), gpa, &error);
	if (ret)
		inject_pf(v, linear, error);
	return ret;
}

int guest_translate_as(struct vcpu *v, u64 linear, u32 access, gpaddr_t *gpa, u32 *error)
{
	struct guest_view g;

	g.v = v;
	vcpu_backend->mode(v, &g.mode);
	return translate(&g, linear, access, gpa, error);
}

unsigned int guest_fetch_first(const struct vcpu *v, const struct vcpu_mode *m, u8 *bytes,
			       unsigned int nr)
{
	bool long_code = mode_is_64bit(m);
	unsigned int got = 0;
	struct guest_view g;

	g.v = v;
	g.mode = *m;
	guest_ram_begin(&g.ram, &v->vm->memory);
	while (got < nr) {
		u64 linear = long_code ? v->rip + got : (u32)(m->cs_base + v->rip + got);
		size_t n = MIN(nr - got, PAGE_SIZE - (linear & (PAGE_SIZE - 1)));
		const u8 *at = NULL;
		gpaddr_t gpa;
		u32 error;

		if (canonical(m, linear) &&
		    !guest_walk(&g, linear, WALK_FETCH | user_access(m), &gpa, &error))
			at = guest_ram_at(&g.ram, gpa);
		if (!at)
			break;
		if (n == 1)
			bytes[got] = *at;
		else
			memcpy(bytes + got, at, n);
		got += (unsigned int)n;
	}
	guest_ram_end(&g.ram);
	return got;
}

unsigned int guest_fetch(struct vcpu *v, u8 bytes[15])
{
	struct vcpu_mode m;

	vcpu_backend->mode(v, &m);
	return guest_fetch_first(v, &m, bytes, 15);
}
