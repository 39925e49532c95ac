/* See kernel/guest/vcpu/vlapicpage.h. Registers have 32 bits and lie 16 bytes apart. Unlike MSRs,
 * they drop what they do not have, and one that is absent sets a bit of the ESR (11.5.3). */
#include <kernel/guest/vcpu/vlapicpage.h>

#include <kernel/guest/vcpu/vcpu.h>
#include <kernel/guest/vcpu/vlapicipi.h>
#include <kernel/guest/vcpu/vlapicpending.h>
#include <kernel/x86/apic.h>

#define DFR_FIXED 0x0fffffffu
#define XAPIC_DESTINATION MASK(31, 24)

static bool is_in_xapic_mode(const struct vlapic *a)
{
	return (a->apic_base & (APIC_BASE_ENABLE | APIC_BASE_EXTD)) == APIC_BASE_ENABLE;
}

static u32 read_register(struct vcpu *v, u32 reg)
{
	struct vlapic *a = &v->lapic;
	u64 value;

	switch (reg) {
	case APIC_ID:
		return (u32)FIELD_PREP(XAPIC_DESTINATION, (u64)v->id);
	case APIC_LDR:
		return a->ldr;
	case APIC_DFR:
		return a->dfr;
	case APIC_ICR:
		return (u32)a->icr;
	case APIC_ICR_HIGH:
		return (u32)FIELD_PREP(XAPIC_DESTINATION, a->icr >> 32);
	case APIC_EOI: /* write-only */
		return 0;
	}
	if (!vlapic_read_register(v, reg, &value))
		return (u32)value;
	a->esr_pending |= ESR_ILLEGAL_REGISTER;
	return 0;
}

static void write_register(struct vcpu *v, u32 reg, u32 value)
{
	struct vlapic *a = &v->lapic;

	switch (reg) {
	case APIC_ID: /* as in newer processors, it cannot be changed */
		return;
	case APIC_LDR:
		a->ldr = value & (u32)XAPIC_DESTINATION;
		return;
	case APIC_DFR:
		a->dfr = value | DFR_FIXED;
		return;
	case APIC_ICR_HIGH:
		a->icr = (u32)a->icr | FIELD_GET(XAPIC_DESTINATION, value) << 32;
		return;
	case APIC_ICR:
		vlapic_send_xapic_command(v, value);
		return;
	case APIC_EOI:
		vlapic_end_of_interrupt(v);
		return;
	case APIC_ESR:
		value = 0;
		break;
	case APIC_SELF_IPI:
		a->esr_pending |= ESR_ILLEGAL_REGISTER;
		return;
	}
	if (vlapic_write_register(v, reg, value & vlapic_writable(a, reg)))
		a->esr_pending |= ESR_ILLEGAL_REGISTER;
}

static int read_page(void *ctx __unused, struct vcpu *v, u64 offset, unsigned int size, u64 *value)
{
	u32 byte = offset & 15;

	if (!is_in_xapic_mode(&v->lapic))
		return 0;
	*value = byte + size <= 4 ? read_register(v, (u32)(offset >> 4)) >> 8 * byte : 0;
	return 0;
}

static int write_page(void *ctx __unused, struct vcpu *v, u64 offset, unsigned int size, u64 value)
{
	if (is_in_xapic_mode(&v->lapic) && size == 4 && !(offset & 15))
		write_register(v, (u32)(offset >> 4), (u32)value);
	return 0;
}

int vlapicpage_add(struct vm *vm)
{
	const struct bus_range page = {
		.first = APIC_DEFAULT_ADDRESS,
		.last = APIC_DEFAULT_ADDRESS + PAGE_SIZE - 1,
		.read = read_page,
		.write = write_page,
	};

	return bus_add(&vm->mmio, &page);
}
