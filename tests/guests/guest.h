/* Helpers of the test guests: console, traps that a test provokes, MSRs, the local APIC. Each check
 * prints `PASS name`, or `FAIL name` and the values, on COM1. The same ELF file runs on plain QEMU
 * (-kernel), where checks of what only Weir promises are skipped. */
#pragma once

#include <kernel/lib/compiler.h>
#include <kernel/x86/apic.h>
#include <kernel/x86/control.h>
#include <kernel/x86/cpuid.h>
#include <kernel/x86/debug.h>
#include <kernel/x86/exceptions.h>
#include <kernel/x86/interrupts.h>
#include <kernel/x86/io.h>
#include <kernel/x86/msr.h>
#include <kernel/x86/tsc.h>
#include <kernel/x86/vmcall.h>
#include <kernel/lib/atomic.h>

extern bool under_weir;
extern u64 tsc_khz; /* from CPUID leaf 0x40000010; 0 if unknown */

void print(const char *fmt, ...) __printf(1, 2); /* %s %u %x %lx %lu %% */
extern unsigned int passed, failed; /* checks so far */
void check(bool ok, const char *name, u64 seen, u64 expected);
#define CHECK(name, cond) check((cond), name, 0, 0)
#define CHECK_EQ(name, seen, expected)                                                             \
	check((u64)(seen) == (u64)(expected), name, (u64)(seen), (u64)(expected))

/* A group needs a device that the guest does not have. It fails if the command line names it. */
void lacks(const char *what);

/* The last exception that TRY caught; vector NONE: there was none. */
struct caught {
	u64 resume;
	u64 vector, error, rip, cr2, dr6, rflags;
};
extern volatile struct caught caught;
#define NONE 0xff

/* Execute assembly. After an exception in it, execution continues behind it, with `caught` filled
 * in. */
#define TRY(text, ...)                                                                             \
	do {                                                                                       \
		caught.vector = NONE;                                                              \
		__asm__ volatile("movq $1f, %[resume]\n\t" text "\n1:\n\tmovq $0, %[resume]"       \
				 : [resume] "=m"(caught.resume), __VA_ARGS__);                     \
	} while (0)
#define TRY_PLAIN(text)                                                                            \
	do {                                                                                       \
		caught.vector = NONE;                                                              \
		__asm__ volatile("movq $1f, %[resume]\n\t" text "\n1:\n\tmovq $0, %[resume]"       \
				 : [resume] "=m"(caught.resume)::"rax", "rcx", "rdx", "rbx",       \
				   "memory", "cc");                                                \
	} while (0)

/* Interrupts taken since the start on all CPUs, by vector; and the order in which they came. */
extern volatile u32 taken[256];
extern volatile u8 order[16];
extern volatile u32 order_at;
/* Interrupts taken while RFLAGS.IF was 0. */
extern volatile u32 taken_while_off;
/* Called by the handler of NMIs, if it is set. */
struct trap_frame;
extern void (*volatile on_nmi)(struct trap_frame *f);
/* Iterations that handlers spin before EOI. */
extern volatile u32 linger;
/* KVM's paravirtual EOI: if the flag is set, handlers clear it instead of writing EOI, and count
 * that. */
extern volatile u8 eoi_flag;
extern volatile u32 eois_by_flag;
/* Handlers do not write EOI for this vector; 0: all do. */
extern volatile u32 keep_in_service;

void traps_init(void);
void traps_load(void); /* on each further CPU */

/* The exception's vector, or NONE. */
static inline u64 try_rdmsr(u32 msr, u64 *value)
{
	u32 lo = 0, hi = 0;

	TRY("rdmsr", "+a"(lo), "+d"(hi) : "c"(msr) : "memory");
	*value = (u64)hi << 32 | lo;
	return caught.vector;
}

static inline u64 try_wrmsr(u32 msr, u64 value)
{
	u32 lo = (u32)value;

	TRY("wrmsr", "+a"(lo) : "c"(msr), "d"((u32)(value >> 32)) : "memory");
	return caught.vector;
}

static inline s64 hypercall(u64 number, u64 a, u64 b, u64 c)
{
	return vmmcall(number, a, b, c);
}

/* Ends the guest, or the machine without Weir. */
enum end_reason { END_POWER_OFF = 0, END_CRASHED = 2 };
_Noreturn void end(enum end_reason reason, unsigned int errors);

/* Spin for about this many microseconds. */
void spin_us(u64 us);

void apic_on(void);
/* Masks the 8259s, whose vectors a PC's firmware leaves among the exceptions. */
void pic_off(void);
/* Start all other CPUs, which first call `work` (unless it is NULL) with interrupts off. False if
 * some do not start. */
bool smp_start(void (*work)(void));

/* The MADT; NULL: there is none. And its local APICs that can be used, of both kinds. */
const u8 *find_madt(void);
u32 madt_apics(const u8 *madt);

void test_cpuid(void);
void test_contract(void);
void test_msr(void);
void test_exceptions(void);
void test_firmware(void);
void test_rtc(void);
void test_boot(void);
void test_mptable(void);
void test_vga(void);
void test_kbc(void);
void test_screen(void);
void test_screen_scrolled(void);
void test_screen_gone(void);
void test_apic(void);
void test_nmi(void);
void test_inject(void);
void test_triple_fault(unsigned int bits);
void test_pit(void);
void test_pic(void);
void test_ioapic(void);
void test_xapic(void);
void test_mmio(void);
void test_emulate(void);
void test_memory(void);
void test_bulk(void);
void test_split(void);
void test_toggle(void);
void test_smp(void);
void test_clock(void);
void test_fpu(void);
void test_dma(void);
void test_remap(void);
void test_remap_ats(void);
void test_remap_rounds(void);
void test_remap_rounds_ats(void);
void test_remap_flood(void);
void test_remap_peer(void);
void test_events(void);
void test_flood(void);
void test_burst(void);
void test_storm(void);
void test_msi(void);
void test_attack_init(void);
void test_attack_timers(void);
void test_attack_msix(void);
void test_watch(void);
void test_watch_now(void);
void test_ticks(void);
void test_config(void);
void test_faults(void);
void test_machine(void);
void test_console(void);
void test_all_ports(void);
void test_cost(void);
void test_deferral_give(void);
void test_deferral_compute(void);
void test_deferral_ticks(void);
enum way {
	RESTART_BY_ACPI,
	RESTART_BY_KEYBOARD,
	RESTART_BY_CONTROL,
	RESTART_BY_HYPERCALL,
	RESTART_BY_VECTOR,
	RESTART_BY_FAULT,
	RESTART_BY_CR0
};
void test_restart(enum way by);
