/* See kernel/core/lapic.h. */
#include <kernel/core/lapic.h>
#include <kernel/lib/atomic.h>
#include <kernel/core/cpu.h>
#include <kernel/lib/errno.h>
#include <kernel/core/irq.h>
#include <kernel/core/log.h>
#include <kernel/core/paging.h>

/* Offsets in the page; the MSR is 0x800 + offset / 16. SDM vol. 3, table 11-1 and 11-6. */
enum lapic_register {
	LAPIC_ID = 0x020,
	LAPIC_TPR = 0x080,
	LAPIC_EOI = 0x0b0,
	LAPIC_SVR = 0x0f0,
	LAPIC_ISR = 0x100, /* 8 registers */
	LAPIC_IRR = 0x200, /* 8 registers */
	LAPIC_ESR = 0x280,
	LAPIC_LVT_CMCI = 0x2f0,
	LAPIC_ICR = 0x300,
	LAPIC_ICR_HIGH = 0x310,
	LAPIC_LVT_TIMER = 0x320,
	LAPIC_LVT_LINT0 = 0x350,
	LAPIC_LVT_LINT1 = 0x360,
	LAPIC_LVT_ERROR = 0x370,
	LAPIC_TIMER_INITIAL = 0x380,
	LAPIC_TIMER_CURRENT = 0x390,
	LAPIC_TIMER_DIVIDE = 0x3e0,
};

#define MSR_APIC_BASE 0x1b
#define APIC_BASE_EXTD BIT(10)
#define APIC_BASE_ENABLE BIT(11)
#define MSR_X2APIC 0x800
#define MSR_TSC_DEADLINE 0x6e0

#define SVR_ENABLE BIT(8)
#define LVT_MASKED BIT(16)
#define LVT_TSC_DEADLINE BIT(18)
#define DIVIDE_BY_1 0xb

#define ICR_NMI 0x400
#define ICR_INIT 0x500
#define ICR_STARTUP 0x600
#define ICR_PENDING BIT(12)
#define ICR_ASSERT BIT(14)
#define ICR_ALL_BUT_SELF (3 << 18)

/* Delivery of an xAPIC interrupt message takes microseconds. */
#define ICR_POLLS 100000

static bool x2apic, tsc_deadline;
static volatile u8 *registers;

static u32 lapic_read(enum lapic_register reg)
{
	if (x2apic)
		return (u32)rdmsr(MSR_X2APIC + reg / 16);
	return *(volatile u32 *)(registers + reg);
}

static void lapic_write(enum lapic_register reg, u32 value)
{
	if (x2apic)
		wrmsr(MSR_X2APIC + reg / 16, value);
	else
		*(volatile u32 *)(registers + reg) = value;
}

int lapic_init(paddr_t address, bool avoid_x2apic)
{
	struct cpuid features = cpuid(1, 0);

	if (!(features.edx & BIT(9))) {
		log_err("this CPU has no local APIC; Weir needs one");
		return -ENODEV;
	}
	/* If the firmware has enabled x2APIC mode, leaving it would need a reset of the APIC. */
	x2apic = features.ecx & BIT(21) && (!avoid_x2apic || rdmsr(MSR_APIC_BASE) & APIC_BASE_EXTD);
	tsc_deadline = features.ecx & BIT(24);
	if (!x2apic) {
		registers = mmio_map(address, PAGE_SIZE);
		if (!registers)
			return -ENOMEM;
	}
	lapic_enable();
	return 0;
}

void lapic_enable(void)
{
	u64 base = rdmsr(MSR_APIC_BASE) | APIC_BASE_ENABLE;

	/* xAPIC must be enabled before x2APIC can be; SDM vol. 3, 11.12.5. */
	wrmsr(MSR_APIC_BASE, base);
	if (x2apic)
		wrmsr(MSR_APIC_BASE, base | APIC_BASE_EXTD);
	lapic_write(LAPIC_SVR, SVR_ENABLE | VECTOR_SPURIOUS);
	lapic_write(LAPIC_TPR, 0);
	lapic_write(LAPIC_LVT_LINT0, LVT_MASKED);
	lapic_write(LAPIC_LVT_LINT1, LVT_MASKED);
	lapic_write(LAPIC_LVT_ERROR, LVT_MASKED);
	lapic_write(LAPIC_TIMER_DIVIDE, DIVIDE_BY_1);
	lapic_write(LAPIC_LVT_TIMER, VECTOR_TIMER | (tsc_deadline ? LVT_TSC_DEADLINE : 0));
	/* The mode must be in place before the first write of the deadline; SDM vol. 3,
	 * 11.5.4.1. */
	__asm__ volatile("mfence" ::: "memory");
}

bool lapic_is_x2apic(void)
{
	return x2apic;
}

u32 lapic_id(void)
{
	u32 id = lapic_read(LAPIC_ID);

	return x2apic ? id : id >> 24;
}

u32 lapic_max_id(void)
{
	return x2apic ? ~0u : 0xfe;
}

void lapic_eoi(void)
{
	lapic_write(LAPIC_EOI, 0);
}

bool lapic_in_service(u8 vector)
{
	return lapic_read((enum lapic_register)(LAPIC_ISR + vector / 32 * 16)) >> vector % 32 & 1;
}

static void send(u32 apic_id, u32 low)
{
	/* A write of the x2APIC's ICR does not order earlier stores; SDM vol. 3, 11.12.3. */
	__asm__ volatile("mfence; lfence" ::: "memory");
	if (x2apic) {
		wrmsr(MSR_X2APIC + LAPIC_ICR / 16, (u64)apic_id << 32 | low);
		return;
	}
	for (u32 n = 0; n < ICR_POLLS && lapic_read(LAPIC_ICR) & ICR_PENDING; n++)
		cpu_relax();
	lapic_write(LAPIC_ICR_HIGH, apic_id << 24);
	lapic_write(LAPIC_ICR, low);
}

void lapic_send(u32 apic_id, u8 vector)
{
	send(apic_id, ICR_ASSERT | vector);
}

int lapic_pending_vector(void)
{
	for (u32 first = 224; first >= VECTOR_FIRST_DEVICE / 32 * 32; first -= 32) {
		u32 pending = lapic_read((enum lapic_register)(LAPIC_IRR + first / 32 * 16));

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
	lapic_write(LAPIC_TIMER_INITIAL, count);
}

u32 lapic_timer_count(void)
{
	return lapic_read(LAPIC_TIMER_CURRENT);
}

void lapic_timer_deadline(u64 tsc)
{
	wrmsr(MSR_TSC_DEADLINE, tsc);
}
