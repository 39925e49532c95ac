#include <tests/guests/guest.h>

void test_exceptions(void)
{
	u64 flags, zero = 0;

	TRY_PLAIN("ud2");
	CHECK_EQ("exceptions: #UD", caught.vector, 6);
	TRY("xor %%edx, %%edx; mov $1, %%eax; divq %1", "+m"(zero)::"rax", "rdx", "cc");
	CHECK_EQ("exceptions: #DE", caught.vector, 0);
	TRY_PLAIN("int3");
	CHECK_EQ("exceptions: #BP", caught.vector, 3);

	/* The last GiB below 4 is mapped as the others are; above that nothing is. */
	TRY_PLAIN("mov $0x123456789, %%rax; mov (%%rax), %%ebx");
	CHECK_EQ("exceptions: #PF", caught.vector, 14);
	CHECK_EQ("exceptions: #PF, CR2", caught.cr2, 0x123456789UL);
	CHECK_EQ("exceptions: #PF, read", caught.error, 0);
	TRY_PLAIN("mov $0x123456789, %%rax; mov %%ebx, (%%rax)");
	CHECK_EQ("exceptions: #PF, write", caught.error, 2);
	TRY_PLAIN("mov $0x8000000000000000, %%rax; mov (%%rax), %%ebx");
	CHECK_EQ("exceptions: not canonical is #GP", caught.vector, 13);
	TRY_PLAIN("mov $0xff, %%eax; mov %%ax, %%ds");
	CHECK_EQ("exceptions: #GP for a selector", caught.vector, 13);
	CHECK_EQ("exceptions: #GP, error code", caught.error, 0xfc);

	/* Single step: the trap comes behind the instruction, and an instruction that exits is none
	 * the less one. */
	caught.vector = NONE;
	__asm__ volatile("pushf; orl $0x100, (%%rsp); popf; nop" ::: "memory", "cc");
	CHECK_EQ("exceptions: #DB", caught.vector, 1);
	CHECK_EQ("exceptions: #DB, DR6 says single step", caught.dr6 & 0x4000, 0x4000);
	__asm__ volatile("mov %0, %%db6" ::"r"(0xffff0ff0UL));
	caught.vector = NONE;
	__asm__ volatile("mov $0x40000000, %%eax; pushf; orl $0x100, (%%rsp); popf; cpuid; 1: lea 1b(%%rip), %%rax; mov %%rax, %0"
			 : "=m"(flags)::"rax", "rbx", "rcx", "rdx", "memory", "cc");
	CHECK_EQ("exceptions: #DB after an instruction that exits", caught.vector, 1);
	CHECK_EQ("exceptions: #DB after it, RIP", caught.rip, flags);

	TRY_PLAIN("rdpmc");
	if (under_weir)
		CHECK_EQ("exceptions: RDPMC is #GP", caught.vector, 13);
	if (under_weir) {
		TRY_PLAIN("xor %%eax, %%eax; vmrun %%rax");
		CHECK_EQ("exceptions: VMRUN is #UD", caught.vector, 6);
		TRY_PLAIN("stgi");
		CHECK_EQ("exceptions: STGI is #UD", caught.vector, 6);
		TRY_PLAIN("xor %%eax, %%eax; vmload %%rax");
		CHECK_EQ("exceptions: VMLOAD is #UD", caught.vector, 6);
		TRY_PLAIN("xor %%ecx, %%ecx; xor %%edx, %%edx; mov %%rsp, %%rax; monitor");
		CHECK_EQ("exceptions: MONITOR is #UD", caught.vector, 6);
	}
	TRY_PLAIN("wbinvd");
	CHECK_EQ("exceptions: WBINVD does no harm", caught.vector, NONE);

	/* Breakpoint registers. */
	__asm__ volatile("mov %0, %%db0" ::"r"(0x1234UL));
	__asm__ volatile("mov %%db0, %0" : "=r"(flags));
	CHECK_EQ("exceptions: DR0 keeps its value", flags, 0x1234);
	__asm__ volatile("mov %0, %%db0" ::"r"(0UL));

	order_at = 0;
	taken[0x80] = 0;
	__asm__ volatile("int $0x80" ::: "memory");
	CHECK_EQ("exceptions: INT n", taken[0x80], 1);
}
