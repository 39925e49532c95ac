/* See kernel/core/lapic.h. */
#include <kernel/core/lapic.h>

#include <kernel/core/cpu.h>
#include <kernel/core/irq.h>
#include <kernel/core/log.h>
#include <kernel/core/paging.h>
#include <kernel/lib/atomic.h>
#include <kernel/lib/errno.h>
#include <kernel/x86/apic.h>
#include <kernel/x86/cache.h>
#include <kernel/x86/cpuid.h>
#include <kernel/x86/interrupts.h>
#include <kernel/x86/msr.h>

/* Delivery of an xAPIC interrupt message takes microseconds. */
#define ICR_POLLS 100000
/* The task priority that holds back vectors 0x10 to 0x1f, which would be taken for exceptions. */
#define TPR_EXCEPTIONS 0x10

static bool x2apic, tsc_deadline;
static volatile u8 *registers;
/* Where NMIs arrive: entries of the local vector table; 0: not there. */
static struct {
	u32 apic_id, entry[2];
} nmi_pins[MAX_CPUS];
static u32 nr_nmi_pins;

static u32 lapic_read(enum apic_register reg)
{
	if (x2apic)
		return (u32)rdmsr(X2APIC(reg));
	return *(volatile u32 *)(registers + 16 * reg);
}

static void lapic_write(enum apic_register reg, u32 value)
{
	if (x2apic)
		wrmsr(X2APIC(reg), value);
	else
		*(volatile u32 *)(registers + 16 * reg) = value;
}

int lapic_init(paddr_t address, bool avoid_x2apic)
{
	struct cpuid features = cpuid(1, 0);

	if (!(features.edx & CPUID1_EDX_APIC)) {
		log_err("this CPU has no local APIC; Weir needs one");
		return -ENODEV;
	}
	/* If the firmware has enabled x2APIC mode, leaving it would need a reset of the APIC. */
	x2apic = features.ecx & CPUID1_ECX_X2APIC &&
		 (!avoid_x2apic || rdmsr(MSR_APIC_BASE) & APIC_BASE_EXTD);
	tsc_deadline = features.ecx & CPUID1_ECX_TSC_DEADLINE;
	if (!x2apic) {
		registers = mmio_map(address, PAGE_SIZE);
		if (!registers)
			return -ENOMEM;
	}
	lapic_enable();
	return 0;
}

/* Mask the entries that not every APIC has (11.5.1): firmware may have left them on. */
static void mask_optional_entries(void)
{
	u64 version = lapic_read(APIC_VERSION), entries = FIELD_GET(VERSION_MAX_LVT, version) + 1;

	if (entries > 4)
		lapic_write(APIC_LVT_PERF, LVT_MASKED);
	if (entries > 5)
		lapic_write(APIC_LVT_THERMAL, LVT_MASKED);
	if (entries > 6)
		lapic_write(APIC_LVT_CMCI, LVT_MASKED);
	if (!(version & VERSION_EXTENDED))
		return;
	entries = FIELD_GET(EXT_FEATURE_LVTS, (u64)lapic_read(APIC_EXT_FEATURE));
	for (u32 i = 0; i < MIN(entries, 4UL); i++)
		lapic_write((enum apic_register)(APIC_EXT_LVT + i), LVT_MASKED);
}

static bool any_vector(enum apic_register first)
{
	u32 bits = 0;

	for (u32 i = 0; i < 8; i++)
		bits |= lapic_read((enum apic_register)(first + i));
	return bits;
}

/* End what the firmware has left in service, which would hold back all lower vectors, and take what
 * it has left pending while nothing uses those vectors yet. */
static void drain(void)
{
	for (u32 i = 0; i < 256 && any_vector(APIC_ISR); i++)
		lapic_eoi();
	if (any_vector(APIC_IRR))
		interrupts_window();
}

/* The entry of the calling CPU's LINT0 or LINT1. */
static u32 pin_entry(u32 pin)
{
	for (u32 i = 0; i < nr_nmi_pins; i++)
		if (nmi_pins[i].apic_id == lapic_id() && nmi_pins[i].entry[pin])
			return nmi_pins[i].entry[pin];
	return LVT_MASKED;
}

void lapic_enable(void)
{
	u64 base = rdmsr(MSR_APIC_BASE) | APIC_BASE_ENABLE;

	/* xAPIC must be enabled before x2APIC can be; SDM vol. 3, 11.12.5. */
	wrmsr(MSR_APIC_BASE, base);
	if (x2apic)
		wrmsr(MSR_APIC_BASE, base | APIC_BASE_EXTD);
	lapic_write(APIC_SVR, SVR_ENABLE | VECTOR_SPURIOUS);
	lapic_write(APIC_TPR, TPR_EXCEPTIONS);
	lapic_write(APIC_LVT_LINT0, pin_entry(0));
	lapic_write(APIC_LVT_LINT1, pin_entry(1));
	lapic_write(APIC_LVT_ERROR, LVT_MASKED);
	mask_optional_entries();
	lapic_write(APIC_LVT_TIMER, LVT_MASKED);
	drain();
	lapic_write(APIC_TIMER_DIVIDE, DIVIDE_BY_1);
	lapic_write(APIC_LVT_TIMER, VECTOR_TIMER | (tsc_deadline ? LVT_TSC_DEADLINE : 0));
	/* The mode must be in place before the first write of the deadline; SDM vol. 3,
	 * 11.5.4.1. */
	mfence();
}

void lapic_add_nmi(u32 apic_id, u32 pin, bool active_low)
{
	u32 i = 0;

	while (i < nr_nmi_pins && nmi_pins[i].apic_id != apic_id)
		i++;
	if (i == ARRAY_SIZE(nmi_pins) || pin > 1)
		return;
	nr_nmi_pins = MAX(nr_nmi_pins, i + 1);
	nmi_pins[i].apic_id = apic_id;
	nmi_pins[i].entry[pin] = LVT_NMI | (active_low ? LVT_ACTIVE_LOW : 0);
}

bool lapic_is_x2apic(void)
{
	return x2apic;
}

u32 lapic_id(void)
{
	u32 id = lapic_read(APIC_ID);

	return x2apic ? id : id >> 24;
}

u32 lapic_max_id(void)
{
	return x2apic ? ~0u : 0xfe;
}

void lapic_eoi(void)
{
	lapic_write(APIC_EOI, 0);
}

bool lapic_in_service(u8 vector)
{
	return lapic_read((enum apic_register)(APIC_ISR + vector / 32)) >> vector % 32 & 1;
}

static void send(u32 apic_id, u64 low)
{
	/* A write of the x2APIC's ICR does not order earlier stores; SDM vol. 3, 11.12.3. */
	mfence();
	lfence();
	if (x2apic) {
		wrmsr(X2APIC(APIC_ICR), ICR_TO(apic_id) | low);
		return;
	}
	for (u32 n = 0; n < ICR_POLLS && lapic_read(APIC_ICR) & ICR_PENDING; n++)
		cpu_relax();
	lapic_write(APIC_ICR_HIGH, apic_id << 24);
	lapic_write(APIC_ICR, (u32)low);
}

void lapic_send(u32 apic_id, u8 vector)
{
	send(apic_id, ICR_ASSERT | vector);
}

int lapic_pending_vector(void)
{
	for (u32 first = 224; first >= VECTOR_FIRST_DEVICE / 32 * 32; first -= 32) {
		u32 pending = lapic_read((enum apic_register)(APIC_IRR + first / 32));

		if (pending)
			return (int)first + 31 - __builtin_clz(pending);
	}
	return -1;
}

void lapic_send_init(u32 apic_id)
{
	send(apic_id, ICR_ASSERT | ICR_INIT);
}

void lapic_send_startup(u32 apic_id, u8 page)
{
	send(apic_id, ICR_ASSERT | ICR_STARTUP | page);
}

void lapic_send_nmi_to_others(void)
{
	send(0, ICR_ASSERT | ICR_NMI | ICR_ALL_BUT_SELF);
}

bool lapic_has_tsc_deadline(void)
{
	return tsc_deadline;
}

void lapic_timer_start(u32 count)
{
	lapic_write(APIC_TIMER_INITIAL, count);
}

u32 lapic_timer_count(void)
{
	return lapic_read(APIC_TIMER_CURRENT);
}

void lapic_timer_deadline(u64 tsc)
{
	wrmsr(MSR_TSC_DEADLINE, tsc);
}
