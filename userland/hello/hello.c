/* The smallest guest: prints what its loader passed to it, and powers off. */
#include <kernel/abi/hypercall.h>
#include <kernel/x86/io.h>
#include <kernel/x86/vmcall.h>

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
	u32 flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr;
};

struct module {
	u32 start, end, string, reserved;
};

void hello_main(u32 magic, const struct information *info);

static void put(char c)
{
	while (!(inb(COM1_LSR) & LSR_THRE))
		;
	outb(COM1, (u8)c);
}

static void print(const char *s)
{
	for (; *s; s++) {
		if (*s == '\n')
			put('\r');
		put(*s);
	}
}

static void print_number(u32 n, u32 base, int width)
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
	const u8 *p = (const u8 *)m->start;

	print("hello: module \"");
	if (m->string)
		print((const char *)m->string);
	print("\", ");
	print_number(m->end - m->start, 10, 1);
	print(" bytes:");
	for (u32 i = 0; i < SHOWN && i < m->end - m->start; i++) {
		put(' ');
		print_number(p[i], 16, 2);
	}
	print("\n");
}

static void power_off(void)
{
	if (cpuid(WEIR_CPUID_BASE, 0).ebx == WEIR_CPUID_EBX) {
		if (cpu_is_amd())
			vmmcall(WEIR_HC_SHUTDOWN, 0, 0, 0);
		else
			vmcall(WEIR_HC_SHUTDOWN, 0, 0, 0);
		print("hello: the shutdown hypercall has returned\n");
	}
	outw(Q35_PM1A_CNT, SLP_EN);
}

void hello_main(u32 magic, const struct information *info)
{
	print("hello: a 32-bit guest, started by ");
	print(magic == MULTIBOOT_MAGIC ? "Multiboot\n" : "something other than Multiboot\n");
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
