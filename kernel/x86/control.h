/* Control registers, EFER, RFLAGS and XCR0. SDM vol. 3, 2.5 and 2.6; APM vol. 2, 3.1.
 * kernel/x86/constants.inc has the same constants for assembly. */
#pragma once

#include <kernel/lib/compiler.h>

#define CR0_PE BIT(0) /* protected mode */
#define CR0_MP BIT(1) /* monitor coprocessor */
#define CR0_EM BIT(2) /* x87 emulation */
#define CR0_TS BIT(3) /* task switched */
#define CR0_ET BIT(4) /* extension type, always 1 */
#define CR0_NE BIT(5) /* x87 errors raise #MF */
#define CR0_WP BIT(16) /* the supervisor cannot write to read-only pages */
#define CR0_AM BIT(18) /* alignment mask */
#define CR0_NW BIT(29) /* not write-through */
#define CR0_CD BIT(30) /* caching disabled */
#define CR0_PG BIT(31) /* paging */

#define CR4_TSD BIT(2) /* RDTSC for the supervisor only */
#define CR4_DE BIT(3) /* debugging extensions */
#define CR4_PSE BIT(4) /* 4 MiB pages in 32-bit paging */
#define CR4_PAE BIT(5) /* physical address extension */
#define CR4_MCE BIT(6) /* machine-check exceptions */
#define CR4_PGE BIT(7) /* global pages */
#define CR4_PCE BIT(8) /* RDPMC for all */
#define CR4_OSFXSR BIT(9) /* FXSAVE and SSE */
#define CR4_OSXMMEXCPT BIT(10) /* #XM */
#define CR4_UMIP BIT(11) /* SGDT and others for the supervisor only */
#define CR4_LA57 BIT(12) /* five-level paging */
#define CR4_VMXE BIT(13) /* VMX */
#define CR4_FSGSBASE BIT(16) /* RDFSBASE and others */
#define CR4_PCIDE BIT(17) /* process-context ids */
#define CR4_OSXSAVE BIT(18) /* XSAVE and XCR0 */
#define CR4_SMEP BIT(20) /* the supervisor does not execute user pages */
#define CR4_SMAP BIT(21) /* nor access them while RFLAGS.AC is 0 */
#define CR4_PKE BIT(22) /* protection keys, PKRU */
#define CR4_CET BIT(23) /* shadow stacks, branch tracking */

#define EFER_SCE BIT(0) /* SYSCALL */
#define EFER_LME BIT(8) /* long mode, enabled */
#define EFER_LMA BIT(10) /* long mode, active */
#define EFER_NXE BIT(11) /* no-execute pages */
#define EFER_SVME BIT(12) /* SVM */
#define EFER_FFXSR BIT(14) /* fast FXSAVE */
#define EFER_AIBRSE BIT(21) /* automatic IBRS */

#define RFLAGS_CF BIT(0)
#define RFLAGS_RESERVED BIT(1) /* always 1 */
#define RFLAGS_PF BIT(2)
#define RFLAGS_AF BIT(4)
#define RFLAGS_ZF BIT(6)
#define RFLAGS_SF BIT(7)
#define RFLAGS_TF BIT(8) /* single step */
#define RFLAGS_IF BIT(9) /* interrupts enabled */
#define RFLAGS_DF BIT(10) /* string instructions decrement */
#define RFLAGS_OF BIT(11)
#define RFLAGS_NT BIT(14) /* IRET returns to another task */
#define RFLAGS_RF BIT(16) /* instruction breakpoints are ignored once */
#define RFLAGS_VM BIT(17) /* virtual-8086 mode */
#define RFLAGS_AC BIT(18) /* alignment check; see CR4_SMAP */
#define RFLAGS_ID BIT(21) /* can be changed: CPUID exists */

#define XCR0_X87 BIT(0)
#define XCR0_SSE BIT(1)
#define XCR0_AVX BIT(2)

#define CONTROL_REGISTER(n)                                                                        \
	static inline u64 read_cr##n(void)                                                         \
	{                                                                                          \
		u64 value;                                                                         \
                                                                                                   \
		__asm__ volatile("mov %%cr" #n ", %0" : "=r"(value));                              \
		return value;                                                                      \
	}                                                                                          \
                                                                                                   \
	static inline void write_cr##n(u64 value)                                                  \
	{                                                                                          \
		__asm__ volatile("mov %0, %%cr" #n ::"r"(value) : "memory");                       \
	}

CONTROL_REGISTER(0)
CONTROL_REGISTER(2)
CONTROL_REGISTER(3)
CONTROL_REGISTER(4)
CONTROL_REGISTER(8)

/* Write XCR0. CR4.OSXSAVE must be set. */
static inline void write_xcr0(u64 value)
{
	__asm__ volatile("xsetbv" ::"c"(0), "a"((u32)value), "d"((u32)(value >> 32)) : "memory");
}
