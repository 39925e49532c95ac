/* What kernels of others do with a PC's chips while they boot, in their order: Solo5 (as a virtio
 * unikernel), xv6, Zephyr (qemu_x86) and FreeBSD. Nothing of it may be refused or wait for ever. */
#include <tests/guests/guest.h>

#define PIC1 0x20
#define PIC2 0xa0
#define EOI 0x20
#define CHANNEL0 0x40
#define CONTROL 0x43
#define HZ 1193182u
#define COM1 0x3f8
#define IOAPIC_SELECT ((volatile u32 *)0xfec00000)
#define IOAPIC_WINDOW ((volatile u32 *)0xfec00010)
#define PINS 24u
#define MASKED 0x10000u

static u8 cmos(u8 index)
{
	outb(0x70, index);
	(void)inb(0x84); /* how FreeBSD waits a moment */
	return inb(0x71);
}

/* --- Solo5 ---------------------------------------------------------------- */

static u16 tick(void)
{
	u8 low;

	outb(CONTROL, 0x00);
	low = inb(CHANNEL0);
	return (u16)(low | inb(CHANNEL0) << 8);
}

#define PERIOD (HZ / 100)

/* It measures the TSC by counting channel 0 in mode 2 down, again and again. */
static u64 khz_by_channel_0(void)
{
	u32 counted = 0, wanted = HZ / 500;
	u16 last = tick(), now;
	u64 start = rdtsc_ordered();

	for (u32 i = 0; counted < wanted && i < 1000000; i++) {
		now = tick();
		counted += last >= now ? (u32)(last - now) : PERIOD - (now - last);
		last = now;
	}
	return (rdtsc_ordered() - start) * HZ / 1000 / (counted ? counted : 1);
}

/* Each reading of the count takes some time. */
static bool is_near(u64 khz)
{
	return khz >= tsc_khz * 95 / 100 && khz <= tsc_khz * 110 / 100;
}

/* A busy machine may take the CPU away for longer than a period lasts, which is then not counted:
 * try again. */
static void test_calibration(void)
{
	bool near = false;

	outb(CONTROL, 0x34);
	outb(CHANNEL0, PERIOD & 0xff);
	outb(CHANNEL0, PERIOD >> 8);
	if (!tsc_khz)
		return;
	for (u32 i = 0; i < 100 && !near; i++)
		near = is_near(khz_by_channel_0());
	CHECK("boot: the TSC by counts of 10 ms", near);
}

/* It sleeps by counts of mode 4, each of which it writes without a control word. */
static void test_sleeps(void)
{
	u8 mask1 = inb(PIC1 + 1), mask2 = inb(PIC2 + 1);
	u32 before;

	outb(PIC1, 0x11);
	outb(PIC2, 0x11);
	outb(PIC1 + 1, 32);
	outb(PIC2 + 1, 40);
	outb(PIC1 + 1, 4);
	outb(PIC2 + 1, 2);
	outb(PIC1 + 1, 1);
	outb(PIC2 + 1, 1);
	outb(PIC1 + 1, mask1);
	outb(PIC2 + 1, mask2);
	CHECK("boot: the masks outlive an initialisation",
	      inb(PIC1 + 1) == mask1 && inb(PIC2 + 1) == mask2);
	outb(CONTROL, 0x38);
	outb(PIC1 + 1, inb(PIC1 + 1) & 0xfe);
	before = taken[32];
	for (u32 i = 0; i < 5 && taken[32] - before == i; i++) {
		u64 end = rdtsc_ordered() + 2000 * (tsc_khz ? tsc_khz : 2000000);

		outb(CHANNEL0, (1193 - 1) & 0xff);
		outb(CHANNEL0, (1193 - 1) >> 8);
		__asm__ volatile("sti" ::: "memory");
		while (taken[32] - before == i && rdtsc_ordered() < end)
			cpu_relax();
		interrupts_off();
		outb(PIC1, EOI);
	}
	CHECK_EQ("boot: five sleeps of a millisecond end", taken[32] - before, 5);
	outb(PIC1 + 1, 0xff);
	outb(CONTROL, 0x30);
}

static u32 config(u32 device, u32 reg)
{
	outl(0xcf8, 0x80000000 | device << 11 | reg);
	return inl(0xcfc);
}

static void test_bus(void)
{
	u32 found = 0, bridges = 0;

	for (u32 device = 0; device < 32; device++)
		if ((config(device, 0) & 0xffff) != 0xffff) {
			found++;
			bridges += config(device, 8) >> 16 == 0x0600;
		}
	CHECK("boot: a scan of bus 0 finds a host bridge", found && bridges == 1);
}

/* --- xv6 ------------------------------------------------------------------ */

static u32 ioapic_read(u32 reg)
{
	*IOAPIC_SELECT = reg;
	return *IOAPIC_WINDOW;
}

static void ioapic_write(u32 reg, u32 value)
{
	*IOAPIC_SELECT = reg;
	*IOAPIC_WINDOW = value;
}

static void test_io_apic(void)
{
	u32 wrong = 0;

	CHECK_EQ("boot: the I/O APIC has 24 pins", (ioapic_read(1) >> 16 & 0xff) + 1, PINS);
	for (u32 pin = 0; pin < PINS; pin++) {
		ioapic_write(0x10 + 2 * pin, MASKED | (32 + pin));
		ioapic_write(0x11 + 2 * pin, 0);
	}
	for (u32 pin = 0; pin < PINS; pin++)
		wrong += ioapic_read(0x10 + 2 * pin) != (MASKED | (32 + pin)) ||
			 ioapic_read(0x11 + 2 * pin);
	CHECK_EQ("boot: all are masked, with their vectors", wrong, 0);
	ioapic_write(0x10 + 2 * 4, 36);
	ioapic_write(0x11 + 2 * 4, 1u << 24);
	CHECK("boot: IRQ 4 goes to the second processor",
	      ioapic_read(0x10 + 2 * 4) == 36 && ioapic_read(0x11 + 2 * 4) == 1u << 24);
	ioapic_write(0x10 + 2 * 4, MASKED);
	ioapic_write(0x11 + 2 * 4, 0);
}

/* A change of the FIFO loses what is in it. */
static void wait_until_sent(void)
{
	for (u32 i = 0; i < 100000 && !(inb(COM1 + 5) & 0x40); i++)
		cpu_relax();
}

static void test_uart(void)
{
	u16 divisor;

	wait_until_sent();
	outb(COM1 + 2, 0); /* no FIFO */
	outb(COM1 + 3, 0x80);
	outb(COM1 + 0, 115200 / 9600);
	outb(COM1 + 1, 0);
	divisor = (u16)(inb(COM1) | inb(COM1 + 1) << 8);
	outb(COM1 + 3, 0x03);
	CHECK_EQ("boot: COM1 keeps its divisor", divisor, 12);
	outb(COM1 + 4, 0);
	outb(COM1 + 1, 0x01);
	CHECK("boot: COM1 is there", inb(COM1 + 5) != 0xff);
	(void)inb(COM1 + 2);
	(void)inb(COM1);
	CHECK_EQ("boot: its interrupt is allowed", inb(COM1 + 1), 0x01);
	outb(COM1 + 1, 0);
	/* As it was. */
	wait_until_sent();
	outb(COM1 + 3, 0x83);
	outb(COM1 + 0, 1);
	outb(COM1 + 3, 0x03);
	outb(COM1 + 2, 0x07);
	outb(COM1 + 4, 0x03);
}

/* Before INIT: how a PC's firmware starts another processor (MultiProcessor Specification, B.4). */
static void test_warm_reset(void)
{
	volatile u16 *vector = (volatile u16 *)0x467;

	__asm__("" : "+r"(vector)); /* the compiler takes page 0 for null pointers */
	outb(0x70, 0x0f);
	outb(0x71, 0x0a);
	vector[0] = 0;
	vector[1] = 0x7000 >> 4;
	CHECK("boot: the warm reset code and its vector",
	      cmos(0x0f) == 0x0a && vector[0] == 0 && vector[1] == 0x700);
	outb(0x70, 0x0f);
	outb(0x71, 0);
	vector[1] = 0;
}

/* --- Zephyr --------------------------------------------------------------- */

static void test_masks(void)
{
	outb(PIC1 + 1, 0xff);
	outb(PIC2 + 1, 0xff);
	CHECK("boot: all lines of the 8259As are masked",
	      inb(PIC1 + 1) == 0xff && inb(PIC2 + 1) == 0xff);
}

/* --- FreeBSD -------------------------------------------------------------- */

/* The lines of ISA's own devices are edge-triggered, or there is no such register. */
static void test_elcr(void)
{
	u16 triggers = (u16)(inb(0x4d0) | inb(0x4d1) << 8);

	CHECK_EQ("boot: the edge/level register looks like one", triggers & 0x2107, 0);
	outb(0x4d0, (u8)triggers);
	outb(0x4d1, (u8)(triggers >> 8));
	CHECK_EQ("boot: it stays", inb(0x4d0) | inb(0x4d1) << 8, triggers);
}

static void test_clock_chip(void)
{
	u8 a = cmos(0x0a) & 0x7f, b = cmos(0x0b);

	outb(0x70, 0x0a);
	outb(0x71, 0x26);
	outb(0x70, 0x0b);
	outb(0x71, 0x02);
	(void)cmos(0x0c);
	CHECK_EQ("boot: the clock's registers A and B", (cmos(0x0a) & 0x7f) << 8 | cmos(0x0b),
		 0x2602);
	if (under_weir) /* SeaBIOS keeps its own data there */
		CHECK_EQ("boot: no diagnostic bits", cmos(0x0e), 0);
	outb(0x70, 0x0a);
	outb(0x71, a);
	outb(0x70, 0x0b);
	outb(0x71, b);
}

static void test_full_count(void)
{
	u32 first, second;
	bool falls = false;

	outb(CONTROL, 0x34);
	outb(CHANNEL0, 0); /* 65,536 */
	outb(CHANNEL0, 0);
	for (u32 i = 0; i < 50 && !falls; i++) {
		first = tick();
		spin_us(200);
		second = tick();
		falls = second < first && first - second >= 100;
	}
	CHECK("boot: channel 0 counts down from 65,536", falls);
	outb(CONTROL, 0x30);
}

static void test_identification(void)
{
	u64 revision;
	u32 kvm = 0;

	CHECK_EQ("boot: the microcode revision is asked for",
		 try_wrmsr(0x8b, 0) != NONE || try_rdmsr(0x8b, &revision) != NONE, false);
	for (u32 leaf = 0x40000000; leaf < 0x40010000 && !kvm; leaf += 0x100)
		if (cpuid(leaf, 0).ebx == 0x4b4d564b && cpuid(leaf, 0).ecx == 0x564b4d56)
			kvm = leaf;
	if (under_weir)
		CHECK_EQ("boot: KVM's leaves are found by a search", kvm, 0x40000100);
}

void test_boot(void)
{
	wrmsr(X2APIC(APIC_LVT_LINT0), FIELD_PREP(LVT_MODE, DELIVERY_EXTINT));
	test_calibration();
	test_sleeps();
	test_bus();
	test_io_apic();
	test_uart();
	test_warm_reset();
	test_masks();
	test_elcr();
	test_clock_chip();
	test_full_count();
	test_identification();
	wrmsr(X2APIC(APIC_LVT_LINT0), LVT_MASKED);
}
