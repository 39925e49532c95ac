/* Exceptions that the guest causes, and instructions that it may not execute. */
#include <tests/guests/guest.h>

/* The trap comes after the instruction, even if that instruction exits. */
static void test_single_step(void)
{
	u64 after;

	caught.vector = NONE;
	__asm__ volatile("pushf; orl $0x100, (%%rsp); popf; nop" ::: "memory", "cc");
	CHECK_EQ("exceptions: #DB", caught.vector, EXC_DB);
	CHECK_EQ("exceptions: #DB, DR6 says single step", caught.dr6 & DR6_BS, DR6_BS);
	write_dr(6, DR6_RESET);
	caught.vector = NONE;
	__asm__ volatile("mov $0x40000000, %%eax; pushf; orl $0x100, (%%rsp); popf; cpuid; 1: lea "
			 "1b(%%rip), %%rax; mov %%rax, %0"
			 : "=m"(after)::"rax", "rbx", "rcx", "rdx", "memory", "cc");
	CHECK_EQ("exceptions: #DB after an instruction that exits", caught.vector, EXC_DB);
	CHECK_EQ("exceptions: #DB after it, RIP", caught.rip, after);
}

void test_exceptions(void)
{
	u64 zero = 0;

	TRY_PLAIN("ud2");
	CHECK_EQ("exceptions: #UD", caught.vector, EXC_UD);
	TRY("xor %%edx, %%edx; mov $1, %%eax; divq %1", "+m"(zero)::"rax", "rdx", "cc");
	CHECK_EQ("exceptions: #DE", caught.vector, EXC_DE);
	TRY_PLAIN("int3");
	CHECK_EQ("exceptions: #BP", caught.vector, EXC_BP);

	/* Nothing is mapped above 4 GiB. */
	TRY_PLAIN("mov $0x123456789, %%rax; mov (%%rax), %%ebx");
	CHECK_EQ("exceptions: #PF", caught.vector, EXC_PF);
	CHECK_EQ("exceptions: #PF, CR2", caught.cr2, 0x123456789UL);
	CHECK_EQ("exceptions: #PF, read", caught.error, 0);
	TRY_PLAIN("mov $0x123456789, %%rax; mov %%ebx, (%%rax)");
	CHECK_EQ("exceptions: #PF, write", caught.error, PF_WRITE);
	TRY_PLAIN("mov $0x8000000000000000, %%rax; mov (%%rax), %%ebx");
	CHECK_EQ("exceptions: not canonical is #GP", caught.vector, EXC_GP);
	TRY_PLAIN("mov $0xff, %%eax; mov %%ax, %%ds");
	CHECK_EQ("exceptions: #GP for a selector", caught.vector, EXC_GP);
	CHECK_EQ("exceptions: #GP, error code", caught.error, 0xfc);

	test_single_step();

	TRY_PLAIN("rdpmc");
	if (under_weir)
		CHECK_EQ("exceptions: RDPMC is #GP", caught.vector, EXC_GP);
	if (under_weir) {
		TRY_PLAIN("xor %%eax, %%eax; vmrun %%rax");
		CHECK_EQ("exceptions: VMRUN is #UD", caught.vector, EXC_UD);
		TRY_PLAIN("stgi");
		CHECK_EQ("exceptions: STGI is #UD", caught.vector, EXC_UD);
		TRY_PLAIN("xor %%eax, %%eax; vmload %%rax");
		CHECK_EQ("exceptions: VMLOAD is #UD", caught.vector, EXC_UD);
		TRY_PLAIN("xor %%ecx, %%ecx; xor %%edx, %%edx; mov %%rsp, %%rax; monitor");
		CHECK_EQ("exceptions: MONITOR is #UD", caught.vector, EXC_UD);
	}
	TRY_PLAIN("wbinvd");
	CHECK_EQ("exceptions: WBINVD does no harm", caught.vector, NONE);

	/* Breakpoint registers. */
	write_dr(0, 0x1234);
	CHECK_EQ("exceptions: DR0 keeps its value", read_dr(0), 0x1234);
	write_dr(0, 0);

	order_at = 0;
	taken[0x80] = 0;
	__asm__ volatile("int $0x80" ::: "memory");
	CHECK_EQ("exceptions: INT n", taken[0x80], 1);
}
