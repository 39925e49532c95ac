/* The end of Weir: what a panic prints, and how all CPUs stop. */
#include <kernel/core/panic.h>

#include <stdarg.h>
#include <kernel/core/console.h>
#include <kernel/core/cpu.h>
#include <kernel/core/cpuinit.h>
#include <kernel/core/debugexit.h>
#include <kernel/core/irqhandle.h>
#include <kernel/core/irqoff.h>
#include <kernel/core/log.h>
#include <kernel/core/mcheck.h>
#include <kernel/core/nmi.h>
#include <kernel/core/paging.h>
#include <kernel/core/panictrap.h>
#include <kernel/core/symbols.h>
#include <kernel/lib/atomic.h>
#include <kernel/lib/string.h>
#include <kernel/x86/control.h>
#include <kernel/x86/exceptions.h>
#include <kernel/x86/interrupts.h>
#include <kernel/x86/trap.h>

#define BACKTRACE_DEPTH 32

static u32 panicking; /* 0, or 1 + the id of the CPU that panicked first */
static void (*on_panic)(void);

void panic_set_hook(void (*print)(void))
{
	on_panic = print;
}

static void print_address(const char *what, u64 address, const char *name, u64 offset)
{
	if (name)
		log_err("  %s %016lx  %s+0x%lx", what, address, name, offset);
	else
		log_err("  %s %016lx", what, address);
}

static void print_rip(u64 rip)
{
	u64 offset = 0;
	const char *name = symbol_find(rip, &offset);

	print_address("rip ", rip, name, offset);
}

/* The call is before its return address. If the called function never returns, the return address
 * may already be in the next function. */
static void print_caller(u64 address)
{
	u64 offset = 0;
	const char *name = symbol_find(address - 1, &offset);

	print_address("from", address, name, offset + 1);
}

static void backtrace(const u64 *frame)
{
	for (u32 i = 0; i < BACKTRACE_DEPTH; i++) {
		/* The chain itself may be broken: follow only pointers to mapped memory. */
		if (!IS_ALIGNED((u64)frame, 8) || !paging_mapped(frame) ||
		    !paging_mapped(frame + 1))
			return;
		if (!frame[1])
			return;
		print_caller(frame[1]);
		if (!frame[0])
			return;
		frame = (const u64 *)frame[0];
	}
	log_err("  ...");
}

/* Only the first CPU that comes here continues. */
static void enter_panic(void)
{
	u32 expected = 0, me = this_cpu()->id + 1;

	if (!atomic_cmpxchg(&panicking, &expected, me)) {
		/* A fault while printing: print no more, because that would fault again. */
		if (expected == me)
			debug_exit(DEBUG_EXIT_PANIC);
		halt_forever();
	}
	irq_stop_others();
	console_panic();
}

static void __noreturn stop(const char *why)
{
	if (on_panic)
		on_panic();
	irqoff_report();
	log_err("Weir has stopped. %s", why);
	debug_exit(DEBUG_EXIT_PANIC);
	halt_forever();
}

static void __noreturn finish(void)
{
	stop("This is a fault in Weir itself: please report the lines above.");
}

void panic(const char *fmt, ...)
{
	char text[256];
	va_list ap;

	interrupts_off();
	enter_panic();
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_err("panic on CPU %u: %s", this_cpu()->id, text);
	backtrace(__builtin_frame_address(0));
	finish();
}

/* True if an access to this address means that a stack has overflowed. */
static bool print_overflow(u64 address)
{
	const char *name = cpu_stack_above((const void *)address);

	if (!paging_is_stack_guard((const void *)address))
		return false;
	log_err("  the %s%sstack of this CPU has overflowed", name ? name : "", name ? " " : "");
	return true;
}

void panic_trap(const struct trap_frame *f)
{
	u64 cr2 = read_cr2();

	enter_panic();
	log_err("panic on CPU %u: %s (vector %lu, error code 0x%lx)", this_cpu()->id,
		exception_name(f->vector), f->vector, f->error);
	if (f->vector == EXC_PF)
		log_err("  %s of address %016lx, %s",
			f->error & PF_FETCH ? "execution" :
			f->error & PF_WRITE ? "write" :
					      "read",
			cr2, f->error & PF_PRESENT ? "not permitted" : "not mapped");
	if (!print_overflow(cr2) && f->vector == EXC_DF)
		(void)print_overflow(f->rsp - 8);
	print_rip(f->rip);
	log_err("  rax %016lx  rbx %016lx  rcx %016lx  rdx %016lx", f->rax, f->rbx, f->rcx, f->rdx);
	log_err("  rsi %016lx  rdi %016lx  rbp %016lx  rsp %016lx", f->rsi, f->rdi, f->rbp, f->rsp);
	log_err("  r8  %016lx  r9  %016lx  r10 %016lx  r11 %016lx", f->r8, f->r9, f->r10, f->r11);
	log_err("  r12 %016lx  r13 %016lx  r14 %016lx  r15 %016lx", f->r12, f->r13, f->r14, f->r15);
	log_err("  rflags %lx  cs %lx  cr0 %lx  cr2 %lx  cr3 %lx  cr4 %lx", f->rflags, f->cs,
		read_cr0(), cr2, read_cr3(), read_cr4());
	/* A call to a bad address has made no stack frame: only its return address is there. */
	if (f->vector == EXC_PF && f->error & PF_FETCH && paging_mapped((void *)f->rsp))
		print_caller(*(const u64 *)f->rsp);
	backtrace((const u64 *)f->rbp);
	finish();
}

static void __noreturn stop_after_machine_check(u64 rip)
{
	enter_panic();
	log_err("panic on CPU %u: a machine check that cannot be continued", this_cpu()->id);
	mcheck_report(true);
	if (rip)
		print_rip(rip);
	stop("The hardware has failed, not Weir: bank, status and address above tell which part.");
}

void panic_hardware(void)
{
	interrupts_off();
	stop_after_machine_check(0);
}

void panic_machine_check(const struct trap_frame *f)
{
	/* This CPU may hold any lock: mcheck_poll() reports what it can go on after. */
	if (mcheck_collect() != MCHECK_GOES_ON)
		stop_after_machine_check(f->rip);
}

void panic_nmi(const struct trap_frame *f)
{
	u32 by = load_acquire(&panicking);

	if (by && by != this_cpu()->id + 1)
		halt_forever();
	if (by || !nmi_take())
		return;
	enter_panic();
	log_err("panic on CPU %u: an NMI; %s", this_cpu()->id, nmi_reason());
	print_rip(f->rip);
	backtrace((const u64 *)f->rbp);
	stop("An NMI was to do that (nmi=panic); what this CPU did then is above.");
}
