/* What the test guests share: console, traps that a test provokes, MSRs, the local APIC. Each check
 * prints `PASS name` or `FAIL name: what was seen` on COM1. The same ELF runs under plain QEMU
 * (-kernel): what only Weir promises is skipped there. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int64_t s64;

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

extern bool under_weir;
extern u64 tsc_khz; /* from CPUID leaf 0x40000010; 0 if unknown */

void print(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* %s %u %x %lx %lu %% */
extern unsigned int passed, failed; /* checks so far */
void check(bool ok, const char *name, u64 seen, u64 expected);
#define CHECK(name, cond) check((cond), name, 0, 0)
#define CHECK_EQ(name, seen, expected)                                                             \
	check((u64)(seen) == (u64)(expected), name, (u64)(seen), (u64)(expected))

struct trap_frame {
	u64 r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
	u64 vector, error, rip, cs, rflags, rsp, ss;
};

/* The last exception that TRY caught; vector 0xff: there was none. */
struct caught {
	u64 resume;
	u64 vector, error, rip, cr2, dr6;
};
extern volatile struct caught caught;
#define NONE 0xff

/* Execute assembler text; an exception in it goes on behind it, with `caught` filled in. */
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

/* Interrupts taken since the start, by vector, all CPUs; and the order in which they came. */
extern volatile u32 taken[256];
extern volatile u8 order[16];
extern volatile u32 order_at;
/* Interrupts that came although RFLAGS.IF was 0. */
extern volatile u32 taken_while_off;
/* Rounds that handlers spin before EOI. */
extern volatile u32 linger;
/* KVM's paravirtual EOI: handlers clear the flag instead of writing EOI where it is set, and count that. */
extern volatile u8 eoi_flag;
extern volatile u32 eois_by_flag;
/* Handlers do not write EOI for this vector; 0: all do. */
extern volatile u32 keep_in_service;

void traps_init(void);
void traps_load(void); /* on each further CPU */

struct cpuid {
	u32 eax, ebx, ecx, edx;
};
static inline struct cpuid cpuid(u32 leaf, u32 subleaf)
{
	struct cpuid r;

	__asm__ volatile("cpuid"
			 : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
			 : "a"(leaf), "c"(subleaf));
	return r;
}

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

static inline u64 rdmsr(u32 msr)
{
	u32 lo, hi;

	__asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr));
	return (u64)hi << 32 | lo;
}

static inline void wrmsr(u32 msr, u64 value)
{
	__asm__ volatile("wrmsr" ::"c"(msr), "a"((u32)value), "d"((u32)(value >> 32)) : "memory");
}

static inline u64 rdtsc(void)
{
	u32 lo, hi;

	__asm__ volatile("lfence; rdtsc" : "=a"(lo), "=d"(hi)::"memory");
	return (u64)hi << 32 | lo;
}

static inline void outb(u16 port, u8 value)
{
	__asm__ volatile("outb %0, %1" ::"a"(value), "Nd"(port));
}

static inline s64 hypercall(u64 number, u64 a, u64 b, u64 c)
{
	s64 r;

	__asm__ volatile("vmmcall" : "=a"(r) : "a"(number), "D"(a), "S"(b), "d"(c) : "memory");
	return r;
}

/* Spin for about this many microseconds. */
void spin_us(u64 us);

#define X2APIC(reg) (0x800u + (reg))
enum {
	APIC_ID = 0x02,
	APIC_VERSION = 0x03,
	APIC_TPR = 0x08,
	APIC_PPR = 0x0a,
	APIC_EOI = 0x0b,
	APIC_LDR = 0x0d,
	APIC_SVR = 0x0f,
	APIC_ISR = 0x10,
	APIC_IRR = 0x20,
	APIC_ESR = 0x28,
	APIC_ICR = 0x30,
	APIC_LVT_TIMER = 0x32,
	APIC_TIMER_INITIAL = 0x38,
	APIC_TIMER_CURRENT = 0x39,
	APIC_TIMER_DIVIDE = 0x3e,
	APIC_SELF_IPI = 0x3f,
};
void apic_on(void);
/* Start all other CPUs, which do this first (NULL: nothing), with interrupts off; false if not all come. */
bool smp_start(void (*work)(void));

void test_cpuid(void);
void test_msr(void);
void test_exceptions(void);
void test_apic(void);
void test_mmio(void);
void test_memory(void);
void test_smp(void);
void test_fpu(void);
void test_dma(void);
void test_events(void);
void test_flood(void);
void test_storm(void);
void test_msi(void);
void test_ticks(void);
void test_config(void);
void test_faults(void);
void test_machine(void);
void test_console(void);
void test_all_ports(void);
enum way {
	RESTART_BY_ACPI,
	RESTART_BY_KEYBOARD,
	RESTART_BY_HYPERCALL,
	RESTART_BY_VECTOR,
	RESTART_BY_FAULT
};
void test_restart(enum way by);
