/* The interrupt controllers of a PC (8259A), with the timer's channel 0 on line 0. */
#include <tests/guests/guest.h>

#define PIC1 0x20
#define PIC2 0xa0
#define ELCR 0x4d0
#define CHANNEL0 0x40
#define CONTROL 0x43
#define HZ 1193182u
#define VECTOR 0x90

#define EOI 0x20
#define READ_IRR 0x0a
#define READ_ISR 0x0b
#define POLL 0x0c

static void initialise(u8 word4)
{
	outb(PIC1, 0x11);
	outb(PIC1 + 1, VECTOR);
	outb(PIC1 + 1, 1 << 2);
	outb(PIC1 + 1, word4);
	outb(PIC2, 0x11);
	outb(PIC2 + 1, VECTOR + 8);
	outb(PIC2 + 1, 2);
	outb(PIC2 + 1, 1);
	outb(PIC1 + 1, 0xff);
	outb(PIC2 + 1, 0xff);
	taken[VECTOR] = 0;
}

static u8 ask(u8 word3)
{
	outb(PIC1, word3);
	return inb(PIC1);
}

/* Mode 0 raises the line once, mode 2 in each period. */
static void count(u8 mode, u16 n)
{
	outb(CONTROL, (u8)(0x30 | mode << 1));
	outb(CHANNEL0, (u8)n);
	outb(CHANNEL0, (u8)(n >> 8));
}

static void stop(void)
{
	outb(CONTROL, 0x30);
}

/* The line is raised once, with interrupts off. */
static void request(void)
{
	count(0, 10);
	spin_us(1000);
	for (u32 i = 0; i < 1000 && !(ask(READ_IRR) & 1); i++)
		spin_us(1000);
}

static void open_for_a_moment(void)
{
	__asm__ volatile("sti; nop; nop; cli" ::: "memory");
}

/* Until that many have come, or two seconds have passed. The guest causes no exit. */
static bool come(u32 nr)
{
	u64 end = rdtsc_ordered() + 2000 * (tsc_khz ? tsc_khz : 2000000);

	__asm__ volatile("sti" ::: "memory");
	while (taken[VECTOR] < nr && rdtsc_ordered() < end)
		cpu_relax();
	interrupts_off();
	return taken[VECTOR] >= nr;
}

static void test_one(void)
{
	initialise(1);
	CHECK("pic: the mask can be read", inb(PIC1 + 1) == 0xff);
	request();
	CHECK("pic: IRR shows a masked request", ask(READ_IRR) & 1);
	open_for_a_moment();
	CHECK_EQ("pic: masked", taken[VECTOR], 0);
	outb(PIC1 + 1, 0xfe);
	CHECK_EQ("pic: held while IF = 0", taken[VECTOR], 0);
	outb(PIC1 + 1, 0xff);
	open_for_a_moment();
	CHECK_EQ("pic: masked again while IF = 0", taken[VECTOR], 0);
	outb(PIC1 + 1, 0xfe);
	open_for_a_moment();
	CHECK_EQ("pic: taken", taken[VECTOR], 1);
	CHECK("pic: in service, no request", (ask(READ_ISR) & 1) && !(ask(READ_IRR) & 1));
	request();
	open_for_a_moment();
	CHECK_EQ("pic: the next one waits for EOI", taken[VECTOR], 1);
	outb(PIC1, EOI);
	open_for_a_moment();
	CHECK_EQ("pic: it comes after EOI", taken[VECTOR], 2);
	outb(PIC1, 0x60); /* specific */
	CHECK("pic: not in service after a specific EOI", !(ask(READ_ISR) & 1));
	request();
	write_cr8(15);
	open_for_a_moment();
	write_cr8(0);
	CHECK_EQ("pic: the task priority does not hold it", taken[VECTOR], 3);
	outb(PIC1, EOI);
	request();
	CHECK("pic: a poll acknowledges", ask(POLL) == 0x80 && !(ask(READ_IRR) & 1));
	open_for_a_moment();
	CHECK_EQ("pic: then it does not come", taken[VECTOR], 3);
	outb(PIC1, EOI);
	if (under_weir)
		CHECK("pic: all lines are edge-triggered", !inb(ELCR) && !inb(ELCR + 1));
}

/* Through LINT0, or past an APIC that is disabled. */
static void test_paths(void)
{
	initialise(1);
	outb(PIC1 + 1, 0xfe);
	wrmsr(X2APIC(APIC_LVT_LINT0), LVT_MASKED);
	request();
	open_for_a_moment();
	CHECK_EQ("pic: LINT0 is masked", taken[VECTOR], 0);
	wrmsr(X2APIC(APIC_LVT_LINT0), FIELD_PREP(LVT_MODE, DELIVERY_EXTINT));
	open_for_a_moment();
	CHECK_EQ("pic: LINT0 lets it through", taken[VECTOR], 1);
	outb(PIC1, EOI);
	wrmsr(X2APIC(APIC_LVT_LINT0), 0x55);
	taken[0x55] = 0;
	request();
	open_for_a_moment();
	CHECK("pic: LINT0 with a vector of its own", taken[0x55] == 1 && taken[VECTOR] == 1);
	CHECK("pic: that acknowledges nothing", ask(READ_IRR) & 1);

	initialise(1);
	outb(PIC1 + 1, 0xfe);
	wrmsr(MSR_APIC_BASE, APIC_DEFAULT_ADDRESS | APIC_BASE_BSP);
	request();
	keep_in_service = VECTOR; /* there is no APIC to write EOI to */
	open_for_a_moment();
	keep_in_service = 0;
	wrmsr(MSR_APIC_BASE, APIC_DEFAULT_ADDRESS | APIC_BASE_BSP | APIC_BASE_ENABLE);
	apic_on();
	CHECK_EQ("pic: with the APIC disabled", taken[VECTOR], 1);
	wrmsr(X2APIC(APIC_LVT_LINT0), FIELD_PREP(LVT_MODE, DELIVERY_EXTINT));
}

/* 600,000 ticks in a second: on a bare machine, nothing else would run. */
static void test_fastest(void)
{
	u64 start = rdtsc_ordered(), elapsed;

	taken[VECTOR] = 0;
	count(2, 2);
	CHECK("pic: the fastest timer ticks", come(10));
	elapsed = rdtsc_ordered() - start;
	CHECK("pic: not more often than every 20 us",
	      (taken[VECTOR] - 2) * 20 * tsc_khz / 1000 <= elapsed);
}

static void test_periodic(void)
{
	u64 start = rdtsc_ordered(), elapsed;

	initialise(1);
	outb(PIC1 + 1, 0xfe);
	count(2, HZ / 500);
	for (u32 i = 1; i <= 10 && taken[VECTOR] < i; i++) {
		halt_until_interrupt();
		outb(PIC1, EOI);
	}
	elapsed = rdtsc_ordered() - start;
	CHECK_EQ("pic: ten ticks wake from HLT", taken[VECTOR], 10);
	if (tsc_khz)
		CHECK("pic: each takes 2 ms", elapsed >= 18 * tsc_khz);
	stop();
	initialise(3); /* automatic EOI: nothing here causes an exit */
	outb(PIC1 + 1, 0xfe);
	count(3, HZ / 500);
	CHECK("pic: ticks with automatic EOI interrupt a spinning guest", come(10));
	CHECK("pic: none is in service", !ask(READ_ISR));
	if (under_weir)
		test_fastest();
	outb(PIC1 + 1, 0xff);
	stop();
	taken[VECTOR] = 0;
	spin_us(1000);
	open_for_a_moment();
	CHECK_EQ("pic: a control word stops it", taken[VECTOR], 0);
}

void test_pic(void)
{
	stop();
	wrmsr(X2APIC(APIC_LVT_LINT0), FIELD_PREP(LVT_MODE, DELIVERY_EXTINT));
	test_one();
	test_paths();
	test_periodic();
	initialise(1);
	wrmsr(X2APIC(APIC_LVT_LINT0), LVT_MASKED);
}
