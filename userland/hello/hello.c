/* The smallest guest: says what its loader gave it, and powers off. */
#include <kernel/abi/hypercall.h>

#define COM1 0x3f8
#define COM1_LSR (COM1 + 5)
#define LSR_THRE 0x20
#define MULTIBOOT_MAGIC 0x2badb002u
#define INFO_CMDLINE (1u << 2)
#define INFO_MODS (1u << 3)
#define Q35_PM1A_CNT 0x604
#define SLP_EN (1u << 13)
#define SHOWN 16

struct information { /* Multiboot 3.3 */
	uint32_t flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr;
};

struct module {
	uint32_t start, end, string, reserved;
};

void hello_main(uint32_t magic, const struct information *info);

static void put(char c)
{
	uint8_t status;

	do
		__asm__ volatile("inb %w1, %b0" : "=a"(status) : "Nd"((uint16_t)COM1_LSR));
	while (!(status & LSR_THRE));
	__asm__ volatile("outb %b0, %w1" ::"a"(c), "Nd"((uint16_t)COM1));
}

static void print(const char *s)
{
	for (; *s; s++) {
		if (*s == '\n')
			put('\r');
		put(*s);
	}
}

static void print_number(uint32_t n, uint32_t base, int width)
{
	char text[12];
	int i = 0;

	do {
		text[i++] = "0123456789abcdef"[n % base];
		n /= base;
	} while (n || i < width);
	while (i)
		put(text[--i]);
}

static void show_module(const struct module *m)
{
	const uint8_t *p = (const uint8_t *)m->start;

	print("hello: module \"");
	if (m->string)
		print((const char *)m->string);
	print("\", ");
	print_number(m->end - m->start, 10, 1);
	print(" bytes:");
	for (uint32_t i = 0; i < SHOWN && i < m->end - m->start; i++) {
		put(' ');
		print_number(p[i], 16, 2);
	}
	print("\n");
}

static void cpuid(uint32_t leaf, uint32_t r[4])
{
	__asm__ volatile("cpuid"
			 : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3])
			 : "a"(leaf), "c"(0));
}

static void power_off(void)
{
	uint32_t r[4];

	cpuid(WEIR_CPUID_BASE, r);
	if (r[1] == WEIR_CPUID_EBX) {
		cpuid(0, r);
		if (r[1] == 0x68747541) /* "Auth"enticAMD */
			__asm__ volatile("vmmcall"
					 : "+a"((uint32_t){ WEIR_HC_SHUTDOWN })
					 : "D"(0), "S"(0)
					 : "memory");
		else
			__asm__ volatile("vmcall"
					 : "+a"((uint32_t){ WEIR_HC_SHUTDOWN })
					 : "D"(0), "S"(0)
					 : "memory");
		print("hello: the hypercall has come back\n");
	}
	__asm__ volatile("outw %w0, %w1" ::"a"(SLP_EN), "Nd"((uint16_t)Q35_PM1A_CNT));
}

void hello_main(uint32_t magic, const struct information *info)
{
	print("hello: a guest of 32 bits, started by ");
	print(magic == MULTIBOOT_MAGIC ? "Multiboot\n" : "something that is not Multiboot\n");
	if (magic == MULTIBOOT_MAGIC) {
		print("hello: command line \"");
		if (info->flags & INFO_CMDLINE)
			print((const char *)info->cmdline);
		print("\"\n");
		if ((info->flags & INFO_MODS) && info->mods_count)
			show_module((const struct module *)info->mods_addr);
		else
			print("hello: no module\n");
	}
	print("hello: powering off\n");
	power_off();
}
