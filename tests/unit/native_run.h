/* Runs one instruction on the processor that runs the test. Registers come from and go to a context
 * at a fixed address, which needs no register to reach. An exception is caught as a signal. */
#pragma once

#include <tests/unit/test.h>

#include <asm/prctl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/ucontext.h>
#include <unistd.h>

#define NATIVE_INSN 0x20000000UL /* in a page of its own */
#define NATIVE_DATA 0x20020000UL /* a page of memory operands, with nothing near it */
#define NATIVE_GUARD 0x10000UL /* bytes on either side */
#define NATIVE_GS_BASE 0x12340UL

/* The offsets are known to the assembly below. */
struct native {
	u64 reg[16]; /* numbered as enum guest_register */
	u64 rflags;
	u64 start; /* of the instruction */
	u64 vector; /* of the exception; NATIVE_DONE: none */
	u64 host_rsp;
	u64 exit; /* where it ends */
	u64 rsp; /* at the exception */
	u8 pad[0x100 - 0xb0];
	u64 xmm[16][2];
	u64 mmx[8];
};
_Static_assert(offsetof(struct native, exit) == 0xa0 && offsetof(struct native, xmm) == 0x100,
	       "as in the assembly");
#define NATIVE_DONE 0xff
#define native ((struct native *)0x20040000UL)

void native_enter(void), native_exit(void);

/* clang-format off */
__asm__(".text\n"
	".globl native_enter\nnative_enter:\n"
	"push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15; pushfq\n"
	"movq %rsp, 0x20040098\n"
	".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
	"movups 0x20040100 + 16 * \\n, %xmm\\n\n.endr\n"
	".irp n, 0,1,2,3,4,5,6,7\nmovq 0x20040200 + 8 * \\n, %mm\\n\n.endr\n"
	"pushq 0x20040080; popfq\n"
	"movq 0x20040000, %rax; movq 0x20040008, %rcx\n"
	"movq 0x20040010, %rdx; movq 0x20040018, %rbx\n"
	"movq 0x20040020, %rsp; movq 0x20040028, %rbp\n"
	"movq 0x20040030, %rsi; movq 0x20040038, %rdi\n"
	"movq 0x20040040, %r8; movq 0x20040048, %r9\n"
	"movq 0x20040050, %r10; movq 0x20040058, %r11\n"
	"movq 0x20040060, %r12; movq 0x20040068, %r13\n"
	"movq 0x20040070, %r14; movq 0x20040078, %r15\n"
	"jmp *0x20040088\n"
	".globl native_exit\nnative_exit:\n"
	"movq %rax, 0x20040000; movq %rcx, 0x20040008\n"
	"movq %rdx, 0x20040010; movq %rbx, 0x20040018\n"
	"movq %rsp, 0x20040020; movq %rbp, 0x20040028\n"
	"movq %rsi, 0x20040030; movq %rdi, 0x20040038\n"
	"movq %r8, 0x20040040; movq %r9, 0x20040048\n"
	"movq %r10, 0x20040050; movq %r11, 0x20040058\n"
	"movq %r12, 0x20040060; movq %r13, 0x20040068\n"
	"movq %r14, 0x20040070; movq %r15, 0x20040078\n"
	"movq 0x20040098, %rsp\n"
	"pushfq; popq 0x20040080\n"
	".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
	"movups %xmm\\n, 0x20040100 + 16 * \\n\n.endr\n"
	".irp n, 0,1,2,3,4,5,6,7\nmovq %mm\\n, 0x20040200 + 8 * \\n\n.endr\n"
	"emms\n"
	"popfq; pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
	"ret\n");
/* clang-format on */

static inline void native_caught(int sig, siginfo_t *info, void *context)
{
	greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;

	(void)info;
	/* Not the instruction's: a bug of the test. */
	if ((u64)g[REG_RIP] != NATIVE_INSN) {
		signal(sig, SIG_DFL);
		return;
	}
	native->vector = (u64)g[REG_TRAPNO];
	g[REG_RIP] = (greg_t)native->exit;
	/* The kernel cannot return to a stack pointer that is not canonical. */
	native->rsp = (u64)g[REG_RSP];
	g[REG_RSP] = (greg_t)native->host_rsp;
}

static inline void native_map(u64 at, u64 size, int protection)
{
	void *p = mmap((void *)at, size, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
		       0);

	assert_ptr_equal(p, (void *)at);
}

/* In each test, since cmocka has set its own handlers. */
static inline void native_init(void)
{
	static const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP };
	static u8 stack[1 << 16];
	stack_t alternate = { .ss_sp = stack, .ss_size = sizeof(stack) };
	struct sigaction action = { .sa_sigaction = native_caught,
				    .sa_flags = SA_SIGINFO | SA_ONSTACK };

	native_map((u64)native, PAGE_SIZE, PROT_READ | PROT_WRITE);
	native_map(NATIVE_INSN, PAGE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC);
	native_map(NATIVE_DATA - NATIVE_GUARD, PAGE_SIZE + 2 * NATIVE_GUARD, PROT_NONE);
	native_map(NATIVE_DATA, PAGE_SIZE, PROT_READ | PROT_WRITE);
	native->start = NATIVE_INSN;
	native->exit = (u64)native_exit;
	assert_int_equal(sigaltstack(&alternate, NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		assert_int_equal(sigaction(signals[i], &action, NULL), 0);
}

/* Execute the instruction with the registers in *native, and get those after it. */
static inline void native_run(const u8 *insn, unsigned int length)
{
	static const u8 back[] = { 0xff, 0x24, 0x25, 0xa0, 0x00, 0x04, 0x20 }; /* jmp *exit */

	memcpy((u8 *)NATIVE_INSN, insn, length);
	memcpy((u8 *)NATIVE_INSN + length, back, sizeof(back));
	native->vector = NATIVE_DONE;
	native_enter();
	if (native->vector != NATIVE_DONE)
		native->reg[4] = native->rsp;
}
