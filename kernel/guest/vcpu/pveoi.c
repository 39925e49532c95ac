/* KVM's paravirtual EOI. See kernel/guest/vcpu/pveoi.h. */
#include <kernel/guest/vcpu/pveoi.h>

#include <kernel/guest/memory/guestcopy.h>
#include <kernel/guest/memory/memory.h>
#include <kernel/guest/vcpu/vcpu.h>
#include <kernel/guest/vcpu/vlapicpending.h>
#include <kernel/lib/errno.h>

#define PV_EOI_ENABLE BIT(0)
#define PV_EOI_RESERVED BIT(1)

/* In the guest's byte: this EOI need not be written to the APIC. */
#define PV_EOI_FLAG 1

static bool set_flag(struct vcpu *v, u8 flag)
{
	return !guest_write(&v->vm->memory, v->lapic.pv_eoi & ~PV_EOI_ENABLE, &flag, sizeof(flag));
}

int pveoi_write_msr(struct vcpu *v, u64 value)
{
	struct vlapic *a = &v->lapic;

	if (value & PV_EOI_RESERVED)
		return -EINVAL;
	/* If the old flag stayed set, the guest might end an interrupt there, and Weir would not
	 * notice. */
	if (a->pv_eoi_set)
		(void)set_flag(v, 0);
	a->pv_eoi_set = false;
	a->pv_eoi = value & PV_EOI_ENABLE ? value : 0;
	write_once(&v->attention, true);
	return 0;
}

void pveoi_before_entry(struct vcpu *v, int offered)
{
	struct vlapic *a = &v->lapic;
	bool set;

	if (!a->pv_eoi)
		return;
	set = vlapic_next_eoi_is_quiet(v, offered);
	if (set != a->pv_eoi_set)
		a->pv_eoi_set = set_flag(v, set ? PV_EOI_FLAG : 0) && set;
}

void pveoi_after_exit(struct vcpu *v)
{
	struct vlapic *a = &v->lapic;
	u8 flag;

	if (!a->pv_eoi_set)
		return;
	if (guest_read(&v->vm->memory, a->pv_eoi & ~PV_EOI_ENABLE, &flag, sizeof(flag))) {
		a->pv_eoi_set = false;
	} else if (!(flag & PV_EOI_FLAG)) {
		a->pv_eoi_set = false;
		vlapic_end_of_interrupt(v);
	}
}
