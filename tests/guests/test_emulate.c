/* What the emulator of instructions does with addresses without a device, beyond plain moves: in
 * 64-bit code of the kernel and of a user, and in 32-bit and 16-bit code. Reads return all ones.
 * What it does not know is #UD, and no input ends the domain. tests/unit/test_emulate.c compares
 * the results of all instructions with a processor's. */
#include <tests/guests/guest.h>

#include <kernel/x86/pagetable.h>
#include <kernel/x86/segment.h>

#define NOWHERE 0xfe000000UL

extern u64 level_4[512];

/* --- 64-bit code of the kernel -------------------------------------------- */

static u64 counts_of_ones(void)
{
	u64 a = 0, b = 0, c = 0, d = 0, e = 0, p = NOWHERE;

	__asm__ volatile("bsfl (%5), %k0; bsrl (%5), %k1; popcntq (%5), %2; tzcntw (%5), %w3; "
			 "lzcntl (%5), %k4"
			 : "+r"(a), "+r"(b), "+r"(c), "+r"(d), "+r"(e)
			 : "r"(p)
			 : "cc", "memory");
	return a | b << 8 | c << 16 | d << 24 | e << 32;
}

static void test_bits(void)
{
	u64 p = NOWHERE, far = 8 * 0x10000, flags;

	CHECK_EQ("emulate: BSF, BSR, POPCNT, TZCNT, LZCNT", counts_of_ones(), 64UL << 16 | 31 << 8);
	__asm__ volatile("xorl %%eax, %%eax; btq %2, (%1); pushf; pop %0"
			 : "=r"(flags)
			 : "r"(p - 0x10000), "r"(far + 5)
			 : "rax", "cc", "memory");
	CHECK_EQ("emulate: BT beyond the operand", flags & 1, 1);
	__asm__ volatile("xorl %%eax, %%eax; lock btsl $7, (%1); pushf; pop %0"
			 : "=r"(flags)
			 : "r"(p)
			 : "rax", "cc", "memory");
	CHECK_EQ("emulate: LOCK BTS", flags & 1, 1);
	__asm__ volatile("xorl %%eax, %%eax; shll $1, (%1); pushf; pop %0"
			 : "=r"(flags)
			 : "r"(p)
			 : "rax", "cc", "memory");
	CHECK_EQ("emulate: SHL", flags & 0x8c5, 0x81);
}

static void test_products(void)
{
	u64 a = 0x100000003UL, d = 1, r = 7, p = NOWHERE;

	__asm__ volatile("mull (%2)" : "+a"(a), "+d"(d) : "r"(p) : "cc", "memory");
	CHECK("emulate: MUL", a == 0xfffffffd && d == 2);
	__asm__ volatile("imulq $-5, (%1), %0" : "=r"(r) : "r"(p) : "cc", "memory");
	CHECK_EQ("emulate: IMUL", r, 5);
	a = 0xffffffff;
	d = 0;
	__asm__ volatile("divl (%2)" : "+a"(a), "+d"(d) : "r"(p) : "cc", "memory");
	CHECK("emulate: DIV", a == 1 && !d);
	a = 0;
	d = 0xffffffff;
	TRY("divl (%[p])", "+a"(a), "+d"(d) : [p] "r"(p) : "cc", "memory");
	CHECK("emulate: DIV with an overflow is #DE", caught.vector == EXC_DE && d == 0xffffffff);
}

static void test_exchanges(void)
{
	u64 a = 5, r = 3, p = NOWHERE;
	u8 z = 0;

	__asm__ volatile("lock xaddl %k0, (%1)" : "+r"(r) : "r"(p) : "cc", "memory");
	CHECK_EQ("emulate: LOCK XADD", r, 0xffffffff);
	__asm__ volatile("lock cmpxchgl %k2, (%3); setz %1"
			 : "+a"(a), "+r"(z)
			 : "r"(r), "r"(p)
			 : "cc", "memory");
	CHECK("emulate: LOCK CMPXCHG", a == 0xffffffff && !z);
	r = 1;
	__asm__ volatile("cmp %0, %0; cmovel (%1), %k0" : "+r"(r) : "r"(p) : "cc", "memory");
	CHECK_EQ("emulate: CMOV", r, 0xffffffff);
	__asm__ volatile("pushq (%1); popq %0" : "=r"(r) : "r"(p) : "memory");
	CHECK_EQ("emulate: PUSH", r, ~0UL);
	__asm__ volatile("pushq %1; popq (%2); movbeq (%2), %0"
			 : "=r"(r)
			 : "r"(a), "r"(p)
			 : "memory");
	CHECK_EQ("emulate: POP and MOVBE", r, ~0UL);
}

static void test_vectors(void)
{
	static u64 m[4] __aligned(16) = { 1, 2, 3, 4 };
	u64 p = NOWHERE;

	__asm__ volatile("movups (%1), %%xmm9; movdqa (%0), %%xmm3; movq 8(%1), %%xmm3; "
			 "movhps (%1), %%xmm3; movaps %%xmm3, (%0); movdqu %%xmm9, 16(%0); "
			 "movntdq %%xmm3, (%1)" ::"r"(m),
			 "r"(p)
			 : "memory");
	CHECK("emulate: moves of XMM registers",
	      m[0] == ~0UL && m[1] == ~0UL && m[2] == ~0UL && m[3] == ~0UL);
	m[0] = 0;
	__asm__ volatile("movq (%1), %%mm5; movq %%mm5, (%0); movq %%mm5, (%1); emms" ::"r"(m),
			 "r"(p)
			 : "memory");
	CHECK_EQ("emulate: moves of MMX registers", m[0], ~0UL);
	m[0] = m[1] = 0x55;
	__asm__ volatile("movaps (%0), %%xmm0; movss (%1), %%xmm0; movaps %%xmm0, (%0)" ::"r"(m),
			 "r"(p)
			 : "memory");
	CHECK("emulate: MOVSS clears the rest", m[0] == 0xffffffff && !m[1]);
}

static void test_comparing(void)
{
	static u8 buffer[64];
	void *from = (void *)NOWHERE, *to = buffer;
	u64 nr = 64;

	for (unsigned int i = 0; i < sizeof(buffer); i++)
		buffer[i] = i == 40 ? 0 : 0xff;
	__asm__ volatile("cld; repe cmpsb" : "+S"(from), "+D"(to), "+c"(nr)::"cc", "memory");
	CHECK("emulate: REPE CMPSB", to == buffer + 41 && nr == 23);
	to = (void *)NOWHERE;
	nr = 30;
	__asm__ volatile("repne scasw" : "+D"(to), "+c"(nr) : "a"(0) : "cc", "memory");
	CHECK("emulate: REPNE SCASW", to == (void *)(NOWHERE + 60) && !nr);
	to = (void *)NOWHERE;
	from = (void *)NOWHERE;
	nr = 3;
	__asm__ volatile("rep insl" : "+D"(to), "+c"(nr) : "d"(0x1234) : "memory");
	nr = 3;
	__asm__ volatile("rep outsb" : "+S"(from), "+c"(nr) : "d"(0x1234) : "memory");
	CHECK("emulate: INS and OUTS there",
	      to == (void *)(NOWHERE + 12) && from == (void *)(NOWHERE + 3) && !nr);
}

/* --- what it does not know ------------------------------------------------ */

static void test_unknown(void)
{
	u64 p = NOWHERE;

	TRY("fldl (%[p])", "+m"(caught.error) : [p] "r"(p) : "memory");
	CHECK_EQ("emulate: what it does not know is #UD", caught.vector, EXC_UD);
	TRY("ldmxcsr (%[p])", "+m"(caught.error) : [p] "r"(p) : "memory");
	CHECK_EQ("emulate: and again", caught.vector, EXC_UD);
	TRY("jmp *%[p]", "+m"(caught.error) : [p] "r"(p + 8) : "memory");
	CHECK("emulate: executing there is #UD", caught.vector == EXC_UD && caught.rip == p + 8);
}

/* Page tables there read as all ones, with reserved bits. */
static void test_tables(void)
{
	static u64 saved;
	u64 p = 0xff0000000000UL - 0x800000000000UL, r = 0;

	saved = level_4[p >> 39 & 511];
	level_4[p >> 39 & 511] = NOWHERE | PTE_P | PTE_W | PTE_U;
	TRY("movl (%[p]), %k[r]", [r] "+r"(r) : [p] "r"(p) : "memory");
	CHECK("emulate: a page table there is a page fault",
	      caught.vector == EXC_PF && caught.cr2 == p &&
		      caught.error == (PF_PRESENT | PF_RESERVED));
	TRY("jmp *%[p]", "+m"(caught.error) : [p] "r"(p) : "memory");
	CHECK("emulate: for an instruction, too",
	      caught.vector == EXC_PF && caught.cr2 == p && (caught.error & PF_RESERVED));
	level_4[p >> 39 & 511] = saved;
	write_cr3(read_cr3());
}

/* --- other modes ---------------------------------------------------------- */

#define USER_DATA (0x20 | 3)
#define USER_CODE (0x28 | 3)
#define TSS 0x30
#define CODE16 0x40
#define WINDOW 0x48 /* data, with a base there */

static u64 gdt[] = { 0, GDT_CODE64, GDT_DATA,	GDT_CODE32, GDT_USER_DATA, GDT_USER_CODE64,
		     0, 0,	    GDT_CODE16, GDT_DATA };
static struct tss tss;
static u8 stack[4096] __aligned(16);

static u64 with_base(u64 descriptor, u64 at)
{
	return descriptor | (at & 0xffffff) << 16 | (at >> 24 & 0xff) << 56;
}

/* Execute in user mode, on the same stack, up to an exception: trap() returns to the kernel. */
#define TRY_AS_USER(text, ...)                                                                     \
	TRY("movq %%rsp, %%rax; pushq %[ss]; pushq %%rax; pushfq; pushq %[cs]; pushq $2f; iretq\n" \
	    "2: " text,                                                                            \
	    __VA_ARGS__, [ss] "i"(USER_DATA), [cs] "i"(USER_CODE) : "rax", "rcx", "memory", "cc")

static void test_user(void)
{
	u64 p = NOWHERE, r = 0;

	TRY_AS_USER("movl (%[p]), %k[r]; lock btsl $3, (%[p]); ud2", [r] "+r"(r) : [p] "r"(p));
	CHECK("emulate: a user's instructions", caught.vector == EXC_UD && r == 0xffffffff);
	r = 0;
	TRY_AS_USER("fldl (%[p]); movl $1, %k[r]; ud2", [r] "+r"(r) : [p] "r"(p));
	CHECK("emulate: a user's unknown instruction is #UD", caught.vector == EXC_UD && !r);
	TRY_AS_USER("jmp *%[p]", [r] "+r"(r) : [p] "r"(p));
	CHECK("emulate: a user who executes there gets #UD",
	      caught.vector == EXC_UD && caught.rip == p);
}

/* The stack for #UD is there. Weir makes that a double fault, which has a stack of its own. */
static void test_delivery(void)
{
	struct {
		u16 limit;
		struct idt_gate *gate;
	} __packed idt;
	u64 r = 0;

	__asm__ volatile("sidt %0" : "=m"(idt));
	tss.ist[0] = tss.rsp[0];
	tss.rsp[0] = NOWHERE + 0x1000;
	idt.gate[EXC_DF].ist = 1;
	TRY_AS_USER("ud2", [r] "+r"(r) : [p] "r"(0UL));
	CHECK("emulate: an exception that cannot be delivered is #DF",
	      caught.vector == EXC_DF && !caught.error);
	idt.gate[EXC_DF].ist = 0;
	tss.rsp[0] = tss.ist[0];
}

/* Far calls push 32 bits each, as 32-bit code pops them, and 16-bit code with a prefix. */
static void test_small_code(void)
{
	extern const u8 code_32[], code_16[], code_16_in[];
	struct {
		u32 offset;
		u16 selector;
	} __packed far = { (u32)(u64)code_32, 0x18 };
	u64 a = 0, c = 0, d = 0;

	__asm__ volatile("lcall *%3"
			 : "+a"(a), "+c"(c), "+d"(d)
			 : "m"(far), "S"(NOWHERE)
			 : "memory", "cc");
	CHECK("emulate: 32-bit code", a == 0xffffffff && c == 0xffff && d == 32);
	far.offset = (u32)(code_16_in - code_16);
	far.selector = CODE16;
	a = c = d = 0;
	__asm__ volatile("lcall *%3"
			 : "+a"(a), "+c"(c), "+d"(d)
			 : "m"(far), "S"(0x10UL), "b"(0x20UL)
			 : "memory", "cc");
	CHECK("emulate: 16-bit code", a == 0xffff && c == 0xffffffff && d == 16);
}
__asm__(".text\n.code32\n"
	"code_32: movl 4(%esi), %eax; movw (%esi), %cx; popcntl 8(%esi, %edx, 2), %edx; lret\n"
	".code16\n"
	"code_16: .skip 16\n"
	"code_16_in: movw %gs:0x10(%bx, %si), %ax; movl %gs:(%ebx), %ecx; "
	"popcntw %gs:(%si), %dx; lretl\n"
	".code64\n");

static void test_modes(void)
{
	extern const u8 code_16[];

	tss.rsp[0] = (u64)stack + sizeof(stack);
	set_tss_descriptor(&gdt[TSS / 8], &tss);
	gdt[CODE16 / 8] = with_base(GDT_CODE16, (u64)code_16);
	gdt[WINDOW / 8] = with_base(GDT_DATA, NOWHERE);
	lgdt(gdt, sizeof(gdt));
	ltr(TSS);
	__asm__ volatile("movl %0, %%gs" ::"r"(WINDOW));
	test_small_code();
	__asm__ volatile("movl %0, %%gs" ::"r"(0));
	test_user();
	test_delivery();
}

void test_emulate(void)
{
	test_bits();
	test_products();
	test_exchanges();
	test_vectors();
	test_comparing();
	/* Where there is nothing: a bare machine has a ROM of ones there. */
	if (!under_weir)
		return;
	test_unknown();
	test_tables();
	test_modes();
}
