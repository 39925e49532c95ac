/* Exceptions of every kind, virtualization instructions, random bytes. */
#include <tests/guests/fuzz/fuzz.h>

/* Only CPL 3 can cause an alignment check. */
static void alignment_check(struct cpu *c)
{
	static const u8 bytes[] = { 0x8b, 0x43, 0x01, 0x0f, 0x01, 0xd9, 0xf4 };
	struct code code = code_begin(c);
	u64 reg[16];

	c->dirty = true;
	for (u32 i = 0; i < 16; i++)
		reg[i] = SPARE;
	for (u32 i = 0; i < sizeof(bytes); i++)
		code_byte(&code, bytes[i]);
	code_end(&code);
	write_cr0(read_cr0() | CR0_AM);
	code_run(c, &code, reg, SELECTOR_USER_CODE);
}

/* x87 and SSE exceptions, unmasked. */
static void floating_point_exceptions(void)
{
	const u16 control = 0x340;
	const u32 mxcsr = 0x0000;

	__asm__ volatile("fninit; fldcw %0; fld1; fldz; fdivrp; fwait" ::"m"(control));
	__asm__ volatile("ldmxcsr %0; pxor %%xmm0, %%xmm0; divsd %%xmm0, %%xmm0" ::"m"(mxcsr));
}

void step_exception(struct cpu *c)
{
	switch (random_below(c, 14)) {
	case 0:
		__asm__ volatile("div %b0" ::"c"(0) : "rax", "rdx");
		break;
	case 1:
		__asm__ volatile("int3");
		break;
	case 2:
		__asm__ volatile("ud2");
		break;
	case 3:
		/* Single steps over instructions that exit. */
		c->dirty = true;
		__asm__ volatile("pushf; orl $0x100, (%%rsp); popf; cpuid; nop; in $0x80, %%al" ::
					 : "rax", "rbx", "rcx", "rdx", "memory", "cc");
		break;
	case 4:
		*(volatile u8 *)0x8000000000000000 = 0;
		break;
	case 5:
		__asm__ volatile("mov %0, %%rsp; push %0" ::"r"(0x8000000000000000));
		break;
	case 6:
		__asm__ volatile("mov %w0, %%ss" ::"r"(0x1238));
		break;
	case 7:
		__asm__ volatile("mov %w0, %%ss; int $0x40" ::"r"(0));
		break;
	case 8:
		alignment_check(c);
		break;
	case 9:
		__asm__ volatile("int $0x80; int $0x12; int $0xe0");
		break;
	case 10:
		__asm__ volatile(".byte 0xf1" ::: "memory");
		break;
	case 11:
		/* Not LTR: without a TSS, QEMU aborts at the next exception. */
		__asm__ volatile("verr %w0; lsl %w0, %%eax; str %%eax" ::"r"((u32)random64(c))
				 : "eax", "cc");
		break;
	case 12:
		__asm__ volatile("lldt %w0" ::"r"((u32)random_below(c, 16) * 8));
		break;
	default:
		floating_point_exceptions();
	}
}

static void svm_instruction(u64 which, u64 address, u32 number)
{
	switch (which) {
	case 0:
		__asm__ volatile("vmrun %%rax" ::"a"(address) : "memory");
		break;
	case 1:
		__asm__ volatile("vmload %%rax" ::"a"(address) : "memory");
		break;
	case 2:
		__asm__ volatile("vmsave %%rax" ::"a"(address) : "memory");
		break;
	case 3:
		__asm__ volatile("stgi");
		break;
	case 4:
		__asm__ volatile("clgi");
		break;
	case 5:
		__asm__ volatile("invlpga %%rax, %%ecx" ::"a"(address), "c"(number) : "memory");
		break;
	default:
		__asm__ volatile("skinit %%eax" ::"a"((u32)address) : "memory");
	}
}

void step_privileged(struct cpu *c)
{
	u64 address = one_in(c, 2) ? random_address(c) & ~0xfffUL : random_edge(c);
	u32 number = (u32)random_edge(c);
	u64 which = random_below(c, 18);

	switch (which) {
	case 0 ... 6:
		svm_instruction(which, address, number);
		break;
	case 7:
		__asm__ volatile("wbinvd" ::: "memory");
		break;
	case 8:
		__asm__ volatile("invd" ::: "memory");
		break;
	case 9:
		__asm__ volatile("monitor" ::"a"(address), "c"(0), "d"(0));
		break;
	case 10:
		__asm__ volatile("mwait" ::"a"(0), "c"(0));
		break;
	case 11:
		__asm__ volatile("rdpmc" : : "c"(number) : "rax", "rdx");
		break;
	case 12:
		__asm__ volatile("vmcall" ::"a"(0UL) : "memory");
		break;
	case 13:
		__asm__ volatile("rsm");
		break;
	case 14:
		__asm__ volatile("sysenter");
		break;
	case 15:
		/* Jumps to wherever LSTAR points. */
		if (one_in(c, rare))
			__asm__ volatile("syscall" ::: "rcx", "r11");
		break;
	case 16:
		if (one_in(c, rare))
			__asm__ volatile(
				"lidt %0; int3" ::"m"(*(u8 *)(SPARE + random_below(c, 0x1000))));
		break;
	default:
		__asm__ volatile("rdtscp" ::: "rax", "rcx", "rdx");
	}
}

/* Random instructions, which may overwrite this guest itself. They end at the first exception, or
 * by an NMI. */
void step_garbage(struct cpu *c)
{
	static const u16 selectors[] = { SELECTOR_CODE_64, SELECTOR_CODE_32, SELECTOR_CODE_16,
					 SELECTOR_USER_CODE };
	struct code code = code_begin(c);
	u64 reg[16], nr = 1 + random_below(c, 24);

	if (!one_in(c, rare))
		return;
	c->dirty = true;
	for (u64 i = 0; i < nr; i++) {
		if (one_in(c, 4))
			code_byte(&code, 0x0f);
		code_byte(&code, random64(c));
	}
	code_end(&code);
	for (u32 i = 0; i < 16; i++)
		reg[i] = one_in(c, 4) ? random_edge(c) :
					SPARE + random_below(c, memory_size - SPARE);
	code_run(c, &code, reg, selectors[random_below(c, ARRAY_SIZE(selectors))]);
}
