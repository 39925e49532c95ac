/* Helpers of the test guests: console, checks, a delay, the local APIC. */
#include <tests/guests/guest.h>

#include <kernel/abi/hypercall.h>

#include <stdarg.h>

#define COM1 0x3f8
#define DEBUG_EXIT 0xf4 /* QEMU's isa-debug-exit, on the machine without Weir */
#define PIC1_DATA 0x21
#define PIC2_DATA 0xa1

bool under_weir;
u64 tsc_khz;

unsigned int passed, failed;

static void put(char c)
{
	outb(COM1, (u8)c);
}

static void put_number(u64 n, unsigned int base)
{
	char digits[20];
	unsigned int nr = 0;

	do {
		digits[nr++] = "0123456789abcdef"[n % base];
		n /= base;
	} while (n);
	while (nr)
		put(digits[--nr]);
}

void print(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	for (; *fmt; fmt++) {
		bool is_long;

		if (*fmt != '%') {
			put(*fmt);
			continue;
		}
		is_long = *++fmt == 'l';
		fmt += is_long;
		if (*fmt == 's') {
			for (const char *s = va_arg(ap, const char *); *s; s++)
				put(*s);
		} else if (*fmt == '%') {
			put('%');
		} else {
			put_number(is_long ? va_arg(ap, u64) : va_arg(ap, u32),
				   *fmt == 'x' ? 16 : 10);
		}
	}
	va_end(ap);
}

void check(bool ok, const char *name, u64 seen, u64 expected)
{
	if (ok) {
		passed++;
		print("PASS %s\n", name);
		return;
	}
	failed++;
	print("FAIL %s: 0x%lx, expected 0x%lx\n", name, seen, expected);
}

void end(enum end_reason reason, unsigned int errors)
{
	if (under_weir)
		hypercall(WEIR_HC_SHUTDOWN, reason, errors, 0);
	outb(DEBUG_EXIT, errors ? 1 : 0);
	halt_forever();
}

void spin_us(u64 us)
{
	u64 end = rdtsc_ordered() + us * (tsc_khz ? tsc_khz : 2000000) / 1000;

	while (rdtsc_ordered() < end)
		cpu_relax();
}

void apic_on(void)
{
	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | APIC_BASE_EXTD | APIC_BASE_ENABLE);
	wrmsr(X2APIC(APIC_SVR), SVR_ENABLE | 0xff);
	wrmsr(X2APIC(APIC_TPR), 0);
}

void pic_off(void)
{
	outb(PIC1_DATA, 0xff);
	outb(PIC2_DATA, 0xff);
}
