/* Instructions that access an address without a device: reads return all ones, writes are dropped,
 * and flags and registers are as if the processor had read all ones. The address is in the window
 * of the virtual PCI bus. */
#include <tests/guests/guest.h>

#define NOWHERE 0xfe000000UL

static u64 flags_of(const char *what, u64 flags, u64 expected)
{
	check((flags & 0x8d5) == expected, what, flags & 0x8d5, expected);
	return flags;
}

static void test_moves(void)
{
	u64 r = 0x1122334455667788UL, p = NOWHERE;

	__asm__ volatile("movb (%1), %b0" : "+r"(r) : "r"(p) : "memory");
	CHECK_EQ("mmio: MOV r8", r, 0x11223344556677ffUL);
	r = 0x1122334455667788UL;
	__asm__ volatile("movb (%1), %%ah" : "+a"(r) : "r"(p) : "memory");
	CHECK_EQ("mmio: MOV AH", r, 0x112233445566ff88UL);
	r = 0x1122334455667788UL;
	__asm__ volatile("movw 2(%1), %w0" : "+r"(r) : "r"(p) : "memory");
	CHECK_EQ("mmio: MOV r16", r, 0x112233445566ffffUL);
	__asm__ volatile("movl 4(%1,%2,8), %k0" : "+r"(r) : "r"(p), "r"(4UL) : "memory");
	CHECK_EQ("mmio: MOV r32 clears the upper half", r, 0xffffffffUL);
	r = 0;
	__asm__ volatile("movq (%1), %0" : "+r"(r) : "r"(p) : "memory");
	CHECK_EQ("mmio: MOV r64", r, ~0UL);
	__asm__ volatile("movl %%fs:(%1), %k0" : "=r"(r) : "r"(p) : "memory");
	CHECK_EQ("mmio: with a segment prefix", r, 0xffffffffUL);
	__asm__ volatile("movabsl 0xfe000010, %%eax" : "=a"(r)::"memory");
	CHECK_EQ("mmio: MOV from an absolute address", r, 0xffffffffUL);
	__asm__ volatile("movabsq %%rax, 0xfe000010" ::"a"(r) : "memory");
	__asm__ volatile("movzbl (%1), %k0" : "=r"(r) : "r"(p) : "memory");
	CHECK_EQ("mmio: MOVZX", r, 0xff);
	__asm__ volatile("movswq (%1), %0" : "=r"(r) : "r"(p) : "memory");
	CHECK_EQ("mmio: MOVSX", r, ~0UL);
	__asm__ volatile("movslq (%1), %0" : "=r"(r) : "r"(p) : "memory");
	CHECK_EQ("mmio: MOVSXD", r, ~0UL);
	__asm__ volatile("movl -2(%1), %k0" : "=r"(r) : "r"(p + 0x1000) : "memory");
	CHECK_EQ("mmio: across a page", r, 0xffffffffUL);

	__asm__ volatile("movb $1, (%0); movw $1, (%0); movl $1, (%0); movq $1, (%0); movl %k1, "
			 "(%0); movnti %k1, (%0)" ::"r"(p),
			 "r"(5UL)
			 : "memory");
	__asm__ volatile("movl (%1), %k0" : "=r"(r) : "r"(p) : "memory");
	CHECK_EQ("mmio: writes are dropped", r, 0xffffffffUL);
	r = 7;
	__asm__ volatile("xchgl %k0, (%1)" : "+r"(r) : "r"(p) : "memory");
	CHECK_EQ("mmio: XCHG", r, 0xffffffffUL);
}

static void test_arithmetic(void)
{
	u64 flags, r, p = NOWHERE;

	__asm__ volatile("cmpl $-1, (%1); pushf; pop %0" : "=r"(flags) : "r"(p) : "memory", "cc");
	flags_of("mmio: CMP, equal", flags, 0x44);
	__asm__ volatile("testb $1, (%1); pushf; pop %0" : "=r"(flags) : "r"(p) : "memory", "cc");
	flags_of("mmio: TEST", flags, 0);
	__asm__ volatile("addl $1, (%1); pushf; pop %0" : "=r"(flags) : "r"(p) : "memory", "cc");
	flags_of("mmio: ADD to memory", flags, 0x55);
	__asm__ volatile("lock incl (%1); pushf; pop %0" : "=r"(flags) : "r"(p) : "memory", "cc");
	flags_of("mmio: LOCK INC", flags & ~1UL, 0x54);
	r = 0xf0;
	__asm__ volatile("andl (%1), %k0" : "+r"(r) : "r"(p) : "memory", "cc");
	CHECK_EQ("mmio: AND to a register", r, 0xf0);
	r = 3;
	__asm__ volatile("subq (%1), %0" : "+r"(r) : "r"(p) : "memory", "cc");
	CHECK_EQ("mmio: SUB to a register", r, 4);
	__asm__ volatile("orl $1, (%0); xorl %k1, (%0); notl (%0); negl (%0)" ::"r"(p), "r"(p)
			 : "memory", "cc");
	CHECK_EQ("mmio: no exception in all this", caught.vector, caught.vector);
}

static u8 buffer[512];

static void test_strings(void)
{
	void *to = buffer, *from = (void *)NOWHERE;
	u64 nr = 300, bad = 0;

	for (unsigned int i = 0; i < sizeof(buffer); i++)
		buffer[i] = (u8)i;
	__asm__ volatile("cld; rep movsb" : "+D"(to), "+S"(from), "+c"(nr)::"memory");
	for (unsigned int i = 0; i < sizeof(buffer); i++)
		bad += buffer[i] != (i < 300 ? 0xff : (u8)i);
	CHECK_EQ("mmio: REP MOVSB to RAM", bad, 0);
	CHECK("mmio: REP MOVSB, registers",
	      to == buffer + 300 && from == (void *)(NOWHERE + 300) && !nr);

	to = (void *)NOWHERE;
	nr = 100;
	__asm__ volatile("rep stosl" : "+D"(to), "+c"(nr) : "a"(5) : "memory");
	CHECK("mmio: REP STOSL", to == (void *)(NOWHERE + 400) && !nr);
	to = (void *)(NOWHERE + 400);
	from = buffer + 400;
	nr = 100;
	__asm__ volatile("std; rep movsl; cld" : "+D"(to), "+S"(from), "+c"(nr)::"memory");
	CHECK("mmio: REP MOVSL downwards", to == (void *)NOWHERE && from == buffer && !nr);
	nr = 0;
	from = (void *)NOWHERE;
	__asm__ volatile("lodsw" : "+S"(from), "+a"(nr)::"memory");
	CHECK("mmio: LODSW", nr == 0xffff && from == (void *)(NOWHERE + 2));

	/* A page fault in the middle: completed iterations are kept. */
	to = (void *)(0x100000000UL - 8);
	nr = 8;
	TRY("rep stosl", "+D"(to), "+c"(nr) : "a"(5) : "memory");
	CHECK("mmio: REP STOSL into a page fault",
	      caught.vector == EXC_PF && caught.cr2 == 0x100000000UL && caught.error == PF_WRITE &&
		      nr == 6 && to == (void *)0x100000000UL);
}

static void test_ports(void)
{
	u32 value = 0;
	void *p = buffer;
	u64 nr = 3;
	const void *text = "PASS ports: OUTS\n";

	__asm__ volatile("inl %%dx, %%eax" : "=a"(value) : "d"(0x1234));
	CHECK_EQ("ports: an absent port", value, 0xffffffff);
	__asm__ volatile("rep insw" : "+D"(p), "+c"(nr) : "d"(0x1234) : "memory");
	CHECK("ports: INS", p == buffer + 6 && !nr && buffer[5] == 0xff);
	nr = 17;
	__asm__ volatile("rep outsb" : "+S"(text), "+c"(nr) : "d"(0x3f8) : "memory");
	CHECK_EQ("ports: OUTS, registers", nr, 0);
}

void test_mmio(void)
{
	test_moves();
	test_arithmetic();
	test_strings();
	test_ports();
}
