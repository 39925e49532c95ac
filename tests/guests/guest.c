#include <tests/guests/guest.h>

#include <kernel/abi/hypercall.h>

#include <stdarg.h>

#define COM1 0x3f8

bool under_weir;
u64 tsc_khz;
volatile struct caught caught;
volatile u32 taken[256];
volatile u8 order[16];
volatile u32 order_at;
volatile u32 keep_in_service;

static unsigned int passed, failed;

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
			put_number(is_long ? va_arg(ap, u64) : va_arg(ap, u32), *fmt == 'x' ? 16 : 10);
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

struct gate {
	u16 offset_low, selector, flags, offset_middle;
	u32 offset_high, reserved;
};
static struct gate idt[256] __attribute__((aligned(16)));
extern const u8 trap_entries[];

void trap(struct trap_frame *f);
void trap(struct trap_frame *f)
{
	if (f->vector < 32 && f->vector != 2) {
		caught.vector = f->vector;
		caught.error = f->error;
		caught.rip = f->rip;
		__asm__("mov %%cr2, %0" : "=r"(caught.cr2));
		__asm__("mov %%db6, %0" : "=r"(caught.dr6));
		f->rflags &= ~0x100UL; /* one single step is enough */
		if (caught.resume) {
			f->rip = caught.resume;
			return;
		}
		if (f->vector == 3 || f->vector == 4 || f->vector == 1)
			return;
		print("FAIL unexpected exception %lu, error 0x%lx, RIP 0x%lx, CR2 0x%lx\n",
		      f->vector, f->error, f->rip, caught.cr2);
		hypercall(WEIR_HC_SHUTDOWN, 2, 1, 0);
		for (;;)
			__asm__ volatile("cli; hlt");
	}
	__atomic_fetch_add(&taken[f->vector], 1, __ATOMIC_SEQ_CST);
	order[order_at++ % ARRAY_SIZE(order)] = (u8)f->vector;
	if (f->vector != 2 && f->vector != 0x80 && f->vector != keep_in_service)
		wrmsr(X2APIC(APIC_EOI), 0);
}

void traps_load(void)
{
	const struct {
		u16 limit;
		u64 base;
	} __attribute__((packed)) pointer = { sizeof(idt) - 1, (u64)idt };

	__asm__ volatile("lidt %0" ::"m"(pointer));
}

void traps_init(void)
{
	for (unsigned int v = 0; v < 256; v++) {
		u64 entry = (u64)trap_entries + 16 * v;

		idt[v] = (struct gate){ (u16)entry,	    8, 0x8e00, (u16)(entry >> 16),
					(u32)(entry >> 32), 0 };
	}
	traps_load();
}

void spin_us(u64 us)
{
	u64 end = rdtsc() + us * (tsc_khz ? tsc_khz : 2000000) / 1000;

	while (rdtsc() < end)
		__builtin_ia32_pause();
}

void apic_on(void)
{
	wrmsr(0x1b, rdmsr(0x1b) | 0xc00);
	wrmsr(X2APIC(APIC_SVR), 0x1ff);
	wrmsr(X2APIC(APIC_TPR), 0);
}

static bool wanted(const char *line, const char *name)
{
	while (*line) {
		size_t n = 0;

		while (line[n] && line[n] == name[n])
			n++;
		if (!name[n] && (!line[n] || line[n] == ' '))
			return true;
		while (*line && *line != ' ')
			line++;
		while (*line == ' ')
			line++;
	}
	return false;
}

/* The command line names the groups to run; none: all. */
static const struct {
	const char *name;
	void (*run)(void);
} groups[] = {
	{ "cpuid", test_cpuid },   { "msr", test_msr },	    { "exceptions", test_exceptions },
	{ "apic", test_apic },	   { "mmio", test_mmio },   { "memory", test_memory },
	{ "smp", test_smp },	   { "fpu", test_fpu },	    { "dma", test_dma },
	{ "events", test_events }, { "flood", test_flood },
};

void main(u32 magic, u32 info);
void main(u32 magic, u32 info)
{
	const u32 *mbi = (const u32 *)(u64)info;
	const char *line = magic == 0x2badb002 && (mbi[0] & 4) ? (const char *)(u64)mbi[4] : "";
	struct cpuid r = cpuid(WEIR_CPUID_BASE, 0);
	bool any = false;

	under_weir = r.ebx == WEIR_CPUID_EBX;
	if (under_weir && r.eax >= WEIR_CPUID_BASE + 0x10)
		tsc_khz = cpuid(WEIR_CPUID_BASE + 0x10, 0).eax;
	traps_init();
	apic_on();
	for (unsigned int i = 0; i < ARRAY_SIZE(groups); i++)
		any |= wanted(line, groups[i].name);
	for (unsigned int i = 0; i < ARRAY_SIZE(groups); i++) {
		if (any && !wanted(line, groups[i].name))
			continue;
		print("group %s\n", groups[i].name);
		groups[i].run();
	}
	print("%u passed, %u failed\n", passed, failed);
	if (under_weir)
		hypercall(WEIR_HC_SHUTDOWN, 0, failed, 0);
	outb(0xf4, failed ? 1 : 0);
}
