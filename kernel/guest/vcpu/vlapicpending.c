/* The vectors of a virtual local APIC: pending (IRR), offered to the guest, in service (ISR). */
#include <kernel/guest/vcpu/vlapicpending.h>

#include <kernel/guest/vcpu/extint.h>
#include <kernel/guest/vcpu/vcpu.h>
#include <kernel/guest/vcpu/vcpustate.h>
#include <kernel/lib/atomic.h>

static int highest_vector(const u32 *bits)
{
	const vlapic_pair *pair = (const vlapic_pair *)bits;

	for (int i = 3; i >= 0; i--) {
		u64 w = read_once(&pair[i]);

		if (w)
			return 64 * i + 63 - __builtin_clzl(w);
	}
	return -1;
}

/* True: it was not set. */
static bool set_vector(u32 *bits, u8 vector)
{
	return !(atomic_or(&bits[vector / 32], 1u << vector % 32) & 1u << vector % 32);
}

static void clear_vector(u32 *bits, u8 vector)
{
	(void)atomic_and(&bits[vector / 32], ~(1u << vector % 32));
}

u32 vlapic_ppr(const struct vlapic *a)
{
	int in_service = highest_vector(a->isr);
	u32 isrv = in_service < 0 ? 0 : (u32)in_service;

	return (a->tpr & 0xf0) >= (isrv & 0xf0) ? a->tpr : isrv & 0xf0;
}

void vlapic_deliver(struct vcpu *v, u8 vector)
{
	/* A disabled APIC takes no interrupt (11.4.7.2); one that it has taken before stays. */
	if (vector < 16 || !vlapic_enabled(&v->lapic))
		return;
	/* Who set it first has made the vCPU look, or what holds it back still does. */
	if (set_vector(v->lapic.irr, vector))
		vcpu_interrupt(v);
}

bool vlapic_deliver_level(struct vcpu *v, u8 vector)
{
	if (vector < 16 || !vlapic_enabled(&v->lapic))
		return false;
	(void)set_vector(v->lapic.tmr, vector);
	vlapic_deliver(v, vector);
	return true;
}

bool vlapic_is_pending(const struct vlapic *a, u8 vector)
{
	return read_once(&a->irr[vector / 32]) & 1u << vector % 32;
}

int vlapic_pending(struct vcpu *v)
{
	int vector = highest_vector(v->lapic.irr);

	if (vector < 0 || !vlapic_enabled(&v->lapic))
		return -1;
	return ((u32)vector & 0xf0) > (vlapic_ppr(&v->lapic) & 0xf0) ? vector : -1;
}

bool vlapic_held_by_tpr(const struct vcpu *v)
{
	int vector = highest_vector(v->lapic.irr), in_service = highest_vector(v->lapic.isr);

	return vector >= 0 && vlapic_enabled(&v->lapic) &&
	       (vector & 0xf0) > (in_service < 0 ? 0 : in_service & 0xf0) &&
	       (u32)(vector & 0xf0) <= (v->lapic.tpr & 0xf0);
}

int vlapic_offer(struct vcpu *v)
{
	int vector = extint_offer(v);

	/* It does not pass through the APIC. */
	if (vector >= 0)
		return vector;
	vector = vlapic_pending(v);
	if (vector >= 0)
		clear_vector(v->lapic.irr, (u8)vector);
	return vector;
}

void vlapic_settle(struct vcpu *v, u8 vector, bool taken)
{
	if (v->extint_offered)
		extint_settle(v, taken);
	else
		(void)set_vector(taken ? v->lapic.isr : v->lapic.irr, vector);
	v->interrupts_taken += taken;
}

void vlapic_end_of_interrupt(struct vcpu *v)
{
	struct vlapic *a = &v->lapic;
	int vector = highest_vector(a->isr);

	if (vector < 0)
		return;
	clear_vector(a->isr, (u8)vector);
	if (!(read_once(&a->tmr[vector / 32]) & 1u << vector % 32))
		return;
	clear_vector(a->tmr, (u8)vector);
	v->vm->extint.ops->end_of_interrupt(v->vm->extint.ctx, (u8)vector);
}

bool vlapic_next_eoi_is_quiet(const struct vcpu *v, int offered)
{
	/* An I/O APIC waits for the EOI of a level-triggered interrupt. */
	return highest_vector(v->lapic.irr) < 0 && highest_vector(v->lapic.tmr) < 0 &&
	       (highest_vector(v->lapic.isr) >= 0) != (offered >= 0 && !v->extint_offered);
}
