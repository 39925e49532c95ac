/* The MP table of a guest. See guestmptable.h. Section numbers are of the MultiProcessor
 * Specification 1.4. */
#include <kernel/guest/devices/guestmptable.h>

#include <kernel/core/panic.h>
#include <kernel/guest/devices/legacy/vioapic.h>
#include <kernel/guest/vcpu/vlapic.h>
#include <kernel/lib/checksum.h>
#include <kernel/lib/string.h>
#include <kernel/x86/apic.h>

#define REVISION 4 /* 1.4 */
#define ISA_BUS 0
#define ISA_IRQS 16
#define IOAPIC_ID 0
#define ALL_APICS 0xff

/* 4.1. Feature byte 2 is 0: virtual wire mode, without an IMCR. */
struct floating_pointer {
	char signature[4];
	u32 table;
	u8 paragraphs, revision, checksum, feature[5];
} __packed;
_Static_assert(sizeof(struct floating_pointer) == 16, "MP 4.1");

/* 4.2 */
struct table_header {
	char signature[4];
	u16 length;
	u8 revision, checksum;
	char oem[8], product[12];
	u32 oem_table;
	u16 oem_size, entries;
	u32 local_apics;
	u16 extended_length;
	u8 extended_checksum, reserved;
} __packed;
_Static_assert(sizeof(struct table_header) == 44, "MP 4.2");

enum entry_type { PROCESSOR, BUS, IO_APIC, IO_INTERRUPT, LOCAL_INTERRUPT };

/* 4.3.1 */
struct processor {
	u8 type, id, version, flags;
	u32 signature, features, reserved[2];
} __packed;
_Static_assert(sizeof(struct processor) == 20, "MP 4.3.1");
#define PROCESSOR_ENABLED 0x01
#define PROCESSOR_BOOTS 0x02
#define SIGNATURE_MASK 0xfffu /* stepping, model, family */
#define FEATURE_MASK (CPUID1_EDX_FPU | CPUID1_EDX_MCE | CPUID1_EDX_CX8)

/* 4.3.2 */
struct bus_entry {
	u8 type, id;
	char name[6];
} __packed;
_Static_assert(sizeof(struct bus_entry) == 8, "MP 4.3.2");

/* 4.3.3 */
struct io_apic {
	u8 type, id, version, flags;
	u32 address;
} __packed;
_Static_assert(sizeof(struct io_apic) == 8, "MP 4.3.3");
#define IO_APIC_USABLE 0x01

/* 4.3.4, 4.3.5. Flags of 0: polarity and trigger mode as usual on the bus. */
struct interrupt {
	u8 type, kind;
	u16 flags;
	u8 bus, irq, apic, pin;
} __packed;
_Static_assert(sizeof(struct interrupt) == 8, "MP 4.3.4");
enum interrupt_kind { INT = 0, NMI = 1, EXTINT = 3 };

struct table {
	u8 *buf;
	u32 at, entries;
};

static void add(struct table *t, const void *entry, size_t size)
{
	BUG_ON(t->at + size > GUEST_MP_TABLE_MAX);
	memcpy(t->buf + t->at, entry, size);
	t->at += (u32)size;
	t->entries++;
}

static void add_interrupt(struct table *t, enum entry_type type, enum interrupt_kind kind, u8 irq,
			  u8 apic, u8 pin)
{
	const struct interrupt i = {
		.type = (u8)type,
		.kind = (u8)kind,
		.bus = ISA_BUS,
		.irq = irq,
		.apic = apic,
		.pin = pin,
	};

	add(t, &i, sizeof(i));
}

static void add_processor(struct table *t, u32 id, struct cpuid features)
{
	const struct processor p = {
		.type = PROCESSOR,
		.id = (u8)id,
		.version = VLAPIC_VERSION,
		.flags = PROCESSOR_ENABLED | (id ? 0 : PROCESSOR_BOOTS),
		.signature = features.eax & SIGNATURE_MASK,
		.features = (features.edx & FEATURE_MASK) | CPUID1_EDX_APIC,
	};

	add(t, &p, sizeof(p));
}

/* Line 2 of the 8259As is their cascade. Pin 0 has their output, and so has LINT0 of vCPU 0. */
static void add_interrupts(struct table *t)
{
	add_interrupt(t, IO_INTERRUPT, EXTINT, 0, IOAPIC_ID, VIOAPIC_PIN_PIC);
	for (u8 irq = 0; irq < ISA_IRQS; irq++)
		if (irq != VIOAPIC_PIN_IRQ0)
			add_interrupt(t, IO_INTERRUPT, INT, irq, IOAPIC_ID,
				      irq ? irq : VIOAPIC_PIN_IRQ0);
	add_interrupt(t, LOCAL_INTERRUPT, EXTINT, 0, 0, 0);
	add_interrupt(t, LOCAL_INTERRUPT, NMI, 0, ALL_APICS, 1);
}

size_t guestmptable_make(u8 buf[GUEST_MP_TABLE_MAX], u32 nr_vcpus, struct cpuid features)
{
	const struct bus_entry isa = { BUS, ISA_BUS, { 'I', 'S', 'A', ' ', ' ', ' ' } };
	const struct io_apic io_apic = { IO_APIC, IOAPIC_ID, VIOAPIC_VERSION, IO_APIC_USABLE,
					 (u32)VIOAPIC_ADDRESS };
	struct floating_pointer f = { .signature = { '_', 'M', 'P', '_' },
				      .table = (u32)GUEST_MP_TABLE + sizeof(f),
				      .paragraphs = sizeof(f) / 16,
				      .revision = REVISION };
	struct table_header h = { .signature = { 'P', 'C', 'M', 'P' },
				  .revision = REVISION,
				  .local_apics = (u32)APIC_DEFAULT_ADDRESS };
	struct table t = { buf, sizeof(f) + sizeof(h), 0 };

	memset(buf, 0, GUEST_MP_TABLE_MAX);
	for (u32 i = 0; i < nr_vcpus; i++)
		add_processor(&t, i, features);
	add(&t, &isa, sizeof(isa));
	add(&t, &io_apic, sizeof(io_apic));
	add_interrupts(&t);

	memcpy(h.oem, "WEIR    ", sizeof(h.oem));
	memcpy(h.product, "WEIRGST     ", sizeof(h.product));
	h.length = (u16)(t.at - sizeof(f));
	h.entries = (u16)t.entries;
	memcpy(buf + sizeof(f), &h, sizeof(h));
	h.checksum = (u8)-byte_sum(buf + sizeof(f), h.length);
	memcpy(buf + sizeof(f), &h, sizeof(h));
	f.checksum = (u8)-byte_sum(&f, sizeof(f));
	memcpy(buf, &f, sizeof(f));
	return t.at;
}
