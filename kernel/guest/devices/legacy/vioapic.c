/* See kernel/guest/devices/legacy/vioapic.h. Registers: 82093AA data sheet, section 3. */
#include <kernel/guest/devices/legacy/vioapic.h>

#include <kernel/guest/devices/legacy/legacy.h>
#include <kernel/guest/domain/domain.h>
#include <kernel/guest/vcpu/vcpustate.h>
#include <kernel/guest/vcpu/vlapicdestination.h>
#include <kernel/guest/vcpu/vlapicpending.h>
#include <kernel/x86/apic.h>

#define IOREGSEL 0x00
#define IOWIN 0x10
#define IOEOIR 0x40
#define IOAPICID 0x00
#define IOAPICVER 0x01
#define IOAPICARB 0x02
#define IOREDTBL 0x10
#define ID_BITS 0x0f000000u
#define VERSION (VIOAPIC_VERSION | (VIOAPIC_PINS - 1) << 16)

/* A redirection entry, 3.2.4. */
#define ENTRY_VECTOR MASK(7, 0)
#define ENTRY_MODE MASK(10, 8)
#define ENTRY_LOGICAL BIT(11)
#define ENTRY_REMOTE_IRR BIT(14)
#define ENTRY_LEVEL BIT(15)
#define ENTRY_MASKED BIT(16)
#define ENTRY_DESTINATION MASK(63, 56)
#define ENTRY_WRITABLE (ENTRY_DESTINATION | 0x1afffUL)

static bool is_for(u64 entry, const struct vcpu *v)
{
	return vlapic_is_destination(v, (u32)FIELD_GET(ENTRY_DESTINATION, entry),
				     entry & ENTRY_LOGICAL, false);
}

/* True: a vCPU has taken a vector, and will end it. */
static bool send_to(struct vcpu *v, u64 entry)
{
	u8 vector = (u8)FIELD_GET(ENTRY_VECTOR, entry);

	switch (FIELD_GET(ENTRY_MODE, entry)) {
	case DELIVERY_FIXED:
	case DELIVERY_LOWEST:
		if (entry & ENTRY_LEVEL)
			return vlapic_deliver_level(v, vector);
		vlapic_deliver(v, vector);
		break;
	case DELIVERY_NMI:
		vcpu_nmi(v);
		break;
	case DELIVERY_INIT:
		vcpu_init_signal(v);
		break;
	}
	return false;
}

static void send(struct legacy *l, u32 pin)
{
	const struct vm *vm = &l->domain->vm;
	u64 *entry = &l->ioapic.entry[pin];

	for (u32 i = 0; i < vm->nr_vcpus; i++) {
		if (!is_for(*entry, vm->vcpu[i]))
			continue;
		if (send_to(vm->vcpu[i], *entry))
			*entry |= ENTRY_REMOTE_IRR;
		if (FIELD_GET(ENTRY_MODE, *entry) == DELIVERY_LOWEST)
			break;
	}
}

/* A level-triggered pin is looked at when something has changed. */
static void send_if_high(struct legacy *l, u32 pin)
{
	u64 entry = l->ioapic.entry[pin];

	if ((entry & ENTRY_LEVEL) && !(entry & (ENTRY_MASKED | ENTRY_REMOTE_IRR)) &&
	    (l->ioapic.lines & BIT(pin)))
		send(l, pin);
}

void vioapic_set_line(struct legacy *l, u32 pin, bool level)
{
	struct vioapic *a = &l->ioapic;
	bool rises = level && !(a->lines & BIT(pin));

	a->lines = level ? a->lines | (u32)BIT(pin) : a->lines & ~(u32)BIT(pin);
	if (a->entry[pin] & ENTRY_LEVEL)
		send_if_high(l, pin);
	else if (rises && !(a->entry[pin] & ENTRY_MASKED))
		send(l, pin);
}

bool vioapic_is_masked(const struct legacy *l, u32 pin)
{
	return l->ioapic.entry[pin] & ENTRY_MASKED;
}

bool vioapic_takes_edge(const struct legacy *l, u32 pin)
{
	const struct vm *vm = &l->domain->vm;
	u64 entry = l->ioapic.entry[pin];
	bool waits = false;

	for (u32 i = 0; i < vm->nr_vcpus; i++)
		waits |= is_for(entry, vm->vcpu[i]) &&
			 vlapic_is_pending(&vm->vcpu[i]->lapic, (u8)FIELD_GET(ENTRY_VECTOR, entry));
	return !(entry & ENTRY_MASKED) && !waits;
}

void vioapic_end_of_interrupt(struct legacy *l, u8 vector)
{
	for (u32 pin = 0; pin < VIOAPIC_PINS; pin++) {
		u64 *entry = &l->ioapic.entry[pin];

		if (!(*entry & ENTRY_REMOTE_IRR) || FIELD_GET(ENTRY_VECTOR, *entry) != vector)
			continue;
		*entry &= ~ENTRY_REMOTE_IRR;
		send_if_high(l, pin);
	}
}

/* The vCPUs to which pin 0 passes the wire of the interrupt controllers on. */
static u32 extint_targets(const struct legacy *l)
{
	const struct vm *vm = &l->domain->vm;
	u64 entry = l->ioapic.entry[VIOAPIC_PIN_PIC];
	u32 targets = 0;

	if ((entry & ENTRY_MASKED) || FIELD_GET(ENTRY_MODE, entry) != DELIVERY_EXTINT)
		return 0;
	for (u32 i = 0; i < vm->nr_vcpus; i++)
		targets |= is_for(entry, vm->vcpu[i]) ? 1u << i : 0;
	return targets;
}

static u32 read_register(const struct vioapic *a)
{
	u32 i = a->select - IOREDTBL;

	if (a->select == IOAPICID || a->select == IOAPICARB)
		return a->id;
	if (a->select == IOAPICVER)
		return VERSION;
	if (i >= 2 * VIOAPIC_PINS)
		return 0;
	return (u32)(i & 1 ? a->entry[i / 2] >> 32 : a->entry[i / 2]);
}

static void write_register(struct legacy *l, u32 value)
{
	struct vioapic *a = &l->ioapic;
	u32 i = a->select - IOREDTBL;
	u64 half = i & 1 ? ~0UL << 32 : ~0UL >> 32, *entry;

	if (a->select == IOAPICID)
		a->id = value & ID_BITS;
	if (i >= 2 * VIOAPIC_PINS)
		return;
	entry = &a->entry[i / 2];
	half &= ENTRY_WRITABLE;
	*entry = (*entry & ~half) | ((i & 1 ? (u64)value << 32 : value) & half);
	if (!(*entry & ENTRY_LEVEL))
		*entry &= ~ENTRY_REMOTE_IRR;
	if (i / 2 == VIOAPIC_PIN_PIC)
		extint_set_targets(&l->domain->vm, extint_targets(l));
	send_if_high(l, i / 2);
}

static int read_page(void *ctx, struct vcpu *v __unused, u64 offset, unsigned int size, u64 *value)
{
	struct legacy *l = ctx;

	if (size != 4)
		return 0;
	spin_lock(&l->lock);
	*value = offset == IOREGSEL ? l->ioapic.select :
		 offset == IOWIN    ? read_register(&l->ioapic) :
				      0;
	spin_unlock(&l->lock);
	return 0;
}

/* IOREGSEL has 8 bits, and some kernels write only those. */
static int write_page(void *ctx, struct vcpu *v __unused, u64 offset, unsigned int size, u64 value)
{
	struct legacy *l = ctx;

	spin_lock(&l->lock);
	if (offset == IOREGSEL)
		l->ioapic.select = (u8)value;
	else if (offset == IOWIN && size == 4)
		write_register(l, (u32)value);
	else if (offset == IOEOIR && size == 4)
		vioapic_end_of_interrupt(l, (u8)value);
	legacy_update(l);
	spin_unlock(&l->lock);
	return 0;
}

int vioapic_add(struct legacy *l)
{
	const struct bus_range page = {
		.first = VIOAPIC_ADDRESS,
		.last = VIOAPIC_ADDRESS + PAGE_SIZE - 1,
		.ctx = l,
		.read = read_page,
		.write = write_page,
	};

	return bus_add(&l->domain->vm.mmio, &page);
}

void vioapic_reset(struct legacy *l)
{
	l->ioapic = (struct vioapic){ 0 };
	for (u32 i = 0; i < VIOAPIC_PINS; i++)
		l->ioapic.entry[i] = ENTRY_MASKED;
	extint_set_targets(&l->domain->vm, 0);
}
