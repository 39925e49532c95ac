/* See kernel/guest/vcpu/extint.h. */
#include <kernel/guest/vcpu/extint.h>

#include <kernel/guest/vcpu/vcpu.h>
#include <kernel/guest/vcpu/vcpustate.h>
#include <kernel/guest/vcpu/vlapicpending.h>
#include <kernel/x86/apic.h>

static u32 lint0_mode(const struct vcpu *v)
{
	u32 entry = v->lapic.lvt_lint[0];

	return entry & LVT_MASKED ? DELIVERY_SMI : (u32)FIELD_GET(LVT_MODE, entry);
}

bool extint_is_pending(const struct vcpu *v)
{
	if (!read_once(&v->vm->extint.raised))
		return false;
	if (read_once(&v->vm->extint.targets) & 1u << v->id)
		return true;
	if (v->id)
		return false;
	return !(v->lapic.apic_base & APIC_BASE_ENABLE) || lint0_mode(v) == DELIVERY_EXTINT;
}

/* LINT0 in its other modes is an input like any other, and takes the wire's edges. */
static void raise_lint0(struct vcpu *v)
{
	if (!vlapic_enabled(&v->lapic))
		return;
	if (lint0_mode(v) == DELIVERY_FIXED)
		vlapic_deliver(v, v->lapic.lvt_lint[0] & LVT_VECTOR);
	else if (lint0_mode(v) == DELIVERY_NMI)
		vcpu_nmi(v);
}

static void interrupt_targets(const struct vm *vm)
{
	for (u32 i = 0; vm->extint.targets && i < vm->nr_vcpus; i++)
		if (vm->extint.targets & 1u << i)
			vcpu_interrupt(vm->vcpu[i]);
}

void extint_set(struct vm *vm, bool raised)
{
	if (vm->extint.raised == raised)
		return;
	write_once(&vm->extint.raised, raised);
	if (!vm->nr_vcpus)
		return;
	if (raised)
		raise_lint0(vm->vcpu[0]);
	/* Also when it falls: the vCPU may be in guest mode with an interrupt that is not pending
	 * any more. */
	vcpu_interrupt(vm->vcpu[0]);
	interrupt_targets(vm);
}

void extint_set_targets(struct vm *vm, u32 targets)
{
	if (vm->extint.targets == targets)
		return;
	write_once(&vm->extint.targets, targets);
	if (vm->extint.raised)
		interrupt_targets(vm);
}

int extint_offer(struct vcpu *v)
{
	const struct extint *e = &v->vm->extint;
	int vector = extint_is_pending(v) ? e->ops->offer(e->ctx) : -1;

	v->extint_offered = vector >= 0;
	return vector;
}

void extint_settle(struct vcpu *v, bool taken)
{
	v->extint_offered = false;
	v->vm->extint.ops->settle(v->vm->extint.ctx, taken);
}

void extint_before_entry(struct vcpu *v)
{
	const struct extint *e = &v->vm->extint;

	if (read_once(&e->look))
		e->ops->before_entry(e->ctx, v);
}
