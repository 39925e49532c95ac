/* The I/O APIC of a PC, with the timer's channel 0 on pin 2 and the 8259s on pin 0. */
#include <tests/guests/guest.h>

#define SELECT ((volatile u32 *)0xfec00000)
#define WINDOW ((volatile u32 *)0xfec00010)
#define VERSION_REGISTER 1
#define ENTRY(pin) (0x10 + 2 * (pin))
#define PINS 24
#define TIMER_PIN 2
#define PIC_PIN 0
#define LOGICAL (1u << 11)
#define REMOTE_IRR (1u << 14)
#define LEVEL (1u << 15)
#define MASKED (1u << 16)

#define PIC1 0x20
#define CHANNEL0 0x40
#define CONTROL 0x43
#define HZ 1193182u
#define VECTOR 0x91
#define PIC_VECTOR 0xa0

static u32 read_register(u32 n)
{
	*SELECT = n;
	return *WINDOW;
}

static void write_register(u32 n, u32 value)
{
	*SELECT = n;
	*WINDOW = value;
}

static void route(u32 pin, u32 destination, u32 low)
{
	write_register(ENTRY(pin) + 1, destination << 24);
	write_register(ENTRY(pin), low);
}

static void count(u8 mode, u16 n)
{
	outb(CONTROL, (u8)(0x30 | mode << 1));
	outb(CHANNEL0, (u8)n);
	outb(CHANNEL0, (u8)(n >> 8));
}

/* Raise the timer's line once, and wait until that has happened. */
static void request(void)
{
	count(0, 10);
	for (u32 i = 0; i < 1000; i++) {
		outb(CONTROL, 0xe2); /* status of channel 0 */
		if (inb(CHANNEL0) & 0x80)
			break;
		spin_us(1000);
	}
	spin_us(5000);
}

static void open_for_a_moment(void)
{
	__asm__ volatile("sti; nop; nop; cli" ::: "memory");
}

/* Until that many have come, or two seconds have passed. */
static void wait_for(u8 vector, u32 nr)
{
	u64 end = rdtsc_ordered() + 2000 * (tsc_khz ? tsc_khz : 2000000);

	__asm__ volatile("sti" ::: "memory");
	while (taken[vector] < nr && rdtsc_ordered() < end)
		spin_us(100);
	interrupts_off();
}

static void test_registers(void)
{
	u32 open = 0;

	CHECK_EQ("ioapic: version and pins", read_register(VERSION_REGISTER), 0x170020);
	for (u32 pin = 0; pin < PINS; pin++)
		open += !(read_register(ENTRY(pin)) & MASKED);
	if (under_weir)
		CHECK_EQ("ioapic: all pins are masked", open, 0);
	write_register(ENTRY(5), ~0u);
	CHECK_EQ("ioapic: what of an entry can be written",
		 read_register(ENTRY(5)) & 0x1ffff & ~(1u << 12 | REMOTE_IRR), 0x1afff);
	write_register(ENTRY(5), MASKED);
}

static void test_edge(void)
{
	taken[VECTOR] = taken[EXC_NMI] = 0;
	route(TIMER_PIN, 0, MASKED | VECTOR);
	request();
	route(TIMER_PIN, 0, VECTOR);
	open_for_a_moment();
	CHECK_EQ("ioapic: an edge at a masked pin is lost", taken[VECTOR], 0);
	request();
	wait_for(VECTOR, 1);
	CHECK_EQ("ioapic: an edge to a physical destination", taken[VECTOR], 1);
	route(TIMER_PIN, 1, LOGICAL | VECTOR);
	request();
	wait_for(VECTOR, 2);
	CHECK_EQ("ioapic: an edge to a logical destination", taken[VECTOR], 2);
	route(TIMER_PIN, 0x77, VECTOR);
	request();
	open_for_a_moment();
	CHECK_EQ("ioapic: an edge to nobody", taken[VECTOR], 2);
	route(TIMER_PIN, 0, (u32)FIELD_PREP(MSI_DATA_MODE, DELIVERY_NMI));
	request();
	wait_for(EXC_NMI, 1);
	CHECK_EQ("ioapic: an NMI", taken[EXC_NMI], 1);
	route(TIMER_PIN, 0, VECTOR);
	taken[VECTOR] = 0;
	count(2, HZ / 500);
	/* On a busy machine, two may come in one halt. */
	for (u32 i = 0; i < 10 && taken[VECTOR] < 10; i++)
		halt_until_interrupt();
	CHECK("ioapic: ten ticks wake from HLT", taken[VECTOR] >= 10);
	count(0, 0xffff);
	outb(CONTROL, 0x30);
	open_for_a_moment();
}

static void test_level(void)
{
	taken[VECTOR] = 0;
	keep_in_service = VECTOR;
	route(TIMER_PIN, 0, LEVEL | VECTOR);
	request();
	wait_for(VECTOR, 1);
	CHECK_EQ("ioapic: a level", taken[VECTOR], 1);
	CHECK("ioapic: its remote IRR", read_register(ENTRY(TIMER_PIN)) & REMOTE_IRR);
	CHECK("ioapic: TMR shows it", rdmsr(X2APIC(APIC_TMR + VECTOR / 32)) & 1u << VECTOR % 32);
	wrmsr(X2APIC(APIC_EOI), 0);
	wait_for(VECTOR, 2);
	CHECK_EQ("ioapic: it is still high, and comes again", taken[VECTOR], 2);
	route(TIMER_PIN, 0, MASKED | LEVEL | VECTOR);
	wrmsr(X2APIC(APIC_EOI), 0);
	keep_in_service = 0;
	open_for_a_moment();
	CHECK_EQ("ioapic: masked, it does not", taken[VECTOR], 2);
	CHECK("ioapic: EOI clears remote IRR", !(read_register(ENTRY(TIMER_PIN)) & REMOTE_IRR));
	route(TIMER_PIN, 0, MASKED);
}

/* The 8259s by pin 0. */
static void test_virtual_wire(void)
{
	wrmsr(X2APIC(APIC_LVT_LINT0), LVT_MASKED);
	outb(PIC1, 0x11);
	outb(PIC1 + 1, PIC_VECTOR);
	outb(PIC1 + 1, 1 << 2);
	outb(PIC1 + 1, 1);
	outb(PIC1 + 1, 0xfe);
	taken[PIC_VECTOR] = 0;
	outb(CONTROL, 0x30);
	request();
	open_for_a_moment();
	CHECK_EQ("ioapic: pin 0 is masked", taken[PIC_VECTOR], 0);
	route(PIC_PIN, 0, (u32)FIELD_PREP(MSI_DATA_MODE, DELIVERY_EXTINT));
	wait_for(PIC_VECTOR, 1);
	if (under_weir) /* QEMU looks at edges only */
		CHECK_EQ("ioapic: pin 0 as ExtINT", taken[PIC_VECTOR], 1);
	outb(PIC1, 0x20);
	outb(PIC1 + 1, 0xff);
	route(PIC_PIN, 0, MASKED);
	outb(CONTROL, 0x30);
}

void test_ioapic(void)
{
	outb(PIC1 + 1, 0xff);
	test_registers();
	test_edge();
	test_level();
	test_virtual_wire();
}
