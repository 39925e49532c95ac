/* Interprocessor interrupts between the vCPUs of a domain (SDM vol. 3, 11.6.1 and 11.12.9). */
#include <kernel/guest/vcpu/vlapicipi.h>

#include <kernel/guest/vcpu/vcpu.h>
#include <kernel/guest/vcpu/vcpustate.h>
#include <kernel/guest/vcpu/vlapicdestination.h>
#include <kernel/guest/vcpu/vlapicpending.h>
#include <kernel/lib/errno.h>
#include <kernel/x86/apic.h>

#define ICR_WRITABLE (ICR_DESTINATION | 0xccfffUL)

static bool is_target(const struct vcpu *v, const struct vcpu *sender, u64 icr)
{
	switch ((enum icr_shorthand)FIELD_GET(ICR_SHORTHAND, icr)) {
	case TO_SELF:
		return v == sender;
	case TO_ALL:
		return true;
	case TO_OTHERS:
		return v != sender;
	case TO_DESTINATION:
		break;
	}
	return vlapic_is_destination(v, (u32)FIELD_GET(ICR_DESTINATION, icr), icr & ICR_LOGICAL,
				     sender->lapic.apic_base & APIC_BASE_EXTD);
}

static void send_to(struct vcpu *sender, struct vcpu *v, u64 icr)
{
	u8 vector = (u8)FIELD_GET(ICR_VECTOR, icr);

	switch (FIELD_GET(ICR_MODE, icr)) {
	case DELIVERY_FIXED:
	case DELIVERY_LOWEST:
		if (vector < 16)
			sender->lapic.esr_pending |= ESR_SEND_ILLEGAL;
		else
			vlapic_deliver(v, vector);
		break;
	case DELIVERY_NMI:
		vcpu_nmi(v);
		break;
	case DELIVERY_INIT:
		/* Old software also sends a level de-assert, which does nothing (11.6.1). */
		if (!(icr & ICR_TRIGGER_LEVEL) || (icr & ICR_ASSERT))
			vcpu_init_signal(v);
		break;
	case DELIVERY_STARTUP:
		vcpu_sipi(v, vector);
		break;
	}
}

static void send(struct vcpu *v, u64 icr)
{
	const struct vm *vm = v->vm;
	bool lowest = FIELD_GET(ICR_MODE, icr) == DELIVERY_LOWEST;

	v->lapic.icr = icr;
	for (u32 i = 0; i < vm->nr_vcpus; i++) {
		if (!is_target(vm->vcpu[i], v, icr))
			continue;
		send_to(v, vm->vcpu[i], icr);
		if (lowest)
			break;
	}
}

int vlapic_write_icr(struct vcpu *v, u64 icr)
{
	if (icr & ~ICR_WRITABLE)
		return -EINVAL;
	send(v, icr);
	return 0;
}

void vlapic_send_xapic_command(struct vcpu *v, u32 low)
{
	send(v, (v->lapic.icr & ICR_DESTINATION) | (low & ICR_WRITABLE));
}

int vlapic_write_self_ipi(struct vcpu *v, u64 value)
{
	if (value > 0xff)
		return -EINVAL;
	if (value < 16)
		v->lapic.esr_pending |= ESR_RECEIVE_ILLEGAL;
	else
		vlapic_deliver(v, (u8)value);
	return 0;
}
