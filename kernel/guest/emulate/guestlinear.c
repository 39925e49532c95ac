/* Accesses a guest's linear memory on behalf of its instructions. */
#include <kernel/guest/emulate/guestlinear.h>

#include <kernel/guest/emulate/guestwalk.h>
#include <kernel/guest/memory/guestcopy.h>
#include <kernel/guest/vcpu/backend.h>
#include <kernel/guest/vcpu/inject.h>
#include <kernel/lib/errno.h>
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

int guest_translate(struct vcpu *v, u64 linear, bool write, gpaddr_t *gpa)
{
	struct vcpu_mode m;
	u32 error;

	vcpu_backend->mode(v, &m);
	if (!canonical(&m, linear)) {
		inject_gp(v);
		return -EFAULT;
	}
	if (guest_walk(v, linear, (write ? WALK_WRITE : 0) | user_access(&m), gpa, &error)) {
		inject_pf(v, linear, error);
		return -EFAULT;
	}
	return 0;
}

static int copy_linear(struct vcpu *v, u64 linear, void *buf, u64 len, bool write, gpaddr_t *gpa)
{
	while (len) {
		size_t n = MIN(len, PAGE_SIZE - (linear & (PAGE_SIZE - 1)));
		int ret = guest_translate(v, linear, write, gpa);

		if (ret)
			return ret;
		ret = write ? guest_write(&v->vm->memory, *gpa, buf, n) :
			      guest_read(&v->vm->memory, *gpa, buf, n);
		if (ret)
			return -ENODEV;
		linear += n;
		buf = (char *)buf + n;
		len -= n;
	}
	return 0;
}

int guest_read_linear(struct vcpu *v, u64 linear, void *buf, u64 len, gpaddr_t *gpa)
{
	return copy_linear(v, linear, buf, len, false, gpa);
}

int guest_write_linear(struct vcpu *v, u64 linear, const void *buf, u64 len, gpaddr_t *gpa)
{
	return copy_linear(v, linear, (void *)buf, len, true, gpa);
}

unsigned int guest_fetch(struct vcpu *v, u8 bytes[15])
{
	bool long_code;
	struct vcpu_mode m;
	unsigned int nr = 0;

	vcpu_backend->mode(v, &m);
	long_code = (m.efer & EFER_LMA) && m.cs_long;
	while (nr < 15) {
		u64 linear = long_code ? v->rip + nr : (u32)(m.cs_base + v->rip + nr);
		size_t n = MIN(15 - nr, PAGE_SIZE - (linear & (PAGE_SIZE - 1)));
		gpaddr_t gpa;
		u32 error;

		if (!canonical(&m, linear) ||
		    guest_walk(v, linear, WALK_FETCH | user_access(&m), &gpa, &error) ||
		    guest_read(&v->vm->memory, gpa, bytes + nr, n))
			break;
		nr += n;
	}
	return nr;
}
