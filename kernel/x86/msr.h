/* Model-specific registers: numbers, fields and access. SDM vol. 4, chapter 2; APM vol. 2,
 * appendix A. */
#pragma once

#include <kernel/lib/compiler.h>

#define MSR_TSC 0x10
#define MSR_PLATFORM_ID 0x17
#define MSR_APIC_BASE 0x1b /* fields: kernel/x86/apic.h */
#define MSR_FEATURE_CONTROL 0x3a
#define MSR_TSC_ADJUST 0x3b
#define MSR_SPEC_CTRL 0x48
#define SPEC_CTRL_IBRS BIT(0)
#define SPEC_CTRL_STIBP BIT(1)
#define MSR_PRED_CMD 0x49
#define PRED_CMD_IBPB BIT(0)
#define MSR_BIOS_SIGN_ID 0x8b /* microcode revision */
#define MSR_MTRRCAP 0xfe
#define MSR_ARCH_CAPABILITIES 0x10a
#define ARCH_CAPABILITIES_IBRS_ALL BIT(1)
#define MSR_SYSENTER_CS 0x174
#define MSR_SYSENTER_ESP 0x175
#define MSR_SYSENTER_EIP 0x176
#define MSR_MCG_CAP 0x179
#define MCG_CAP_COUNT MASK(7, 0)
#define MCG_CAP_CTL_P BIT(8)
#define MCG_CAP_SER_P BIT(24)
#define MSR_MCG_STATUS 0x17a
#define MCG_STATUS_RIPV BIT(0)
#define MCG_STATUS_MCIP BIT(2)
#define MSR_MCG_CTL 0x17b
#define MSR_MISC_ENABLE 0x1a0
#define MSR_MISC_ENABLE_FAST_STRINGS BIT(0)
#define MSR_DEBUGCTL 0x1d9
#define MSR_PAT 0x277
#define PAT_RESET 0x0007040600070406UL /* SDM vol. 3, table 12-12 */
#define MSR_MTRR_DEF_TYPE 0x2ff
#define MTRR_DEF_TYPE_WB 6u
#define MTRR_DEF_TYPE_E BIT(11)
/* Of a machine-check bank. */
#define MSR_MC_CTL(bank) (0x400 + 4 * (bank))
#define MSR_MC_STATUS(bank) (0x401 + 4 * (bank))
#define MC_STATUS_AR BIT(55)
#define MC_STATUS_PCC BIT(57)
#define MC_STATUS_ADDRV BIT(58)
#define MC_STATUS_MISCV BIT(59)
#define MC_STATUS_UC BIT(61)
#define MC_STATUS_VALID BIT(63)
#define MSR_MC_ADDR(bank) (0x402 + 4 * (bank))
#define MSR_MC_MISC(bank) (0x403 + 4 * (bank))
#define MSR_TSC_DEADLINE 0x6e0
#define MSR_X2APIC 0x800 /* the first of 256; kernel/x86/apic.h */
#define MSR_X2APIC_LAST 0x8ff

#define MSR_EFER 0xc0000080 /* fields: kernel/x86/control.h */
#define MSR_STAR 0xc0000081
#define MSR_LSTAR 0xc0000082
#define MSR_CSTAR 0xc0000083
#define MSR_SFMASK 0xc0000084
#define MSR_FS_BASE 0xc0000100
#define MSR_GS_BASE 0xc0000101
#define MSR_KERNEL_GS_BASE 0xc0000102
#define MSR_TSC_AUX 0xc0000103

/* AMD only. */
#define MSR_PERF_EVTSEL0 0xc0010000
#define MSR_PERF_CTR3 0xc0010007
#define MSR_SYSCFG 0xc0010010
#define MSR_HWCR 0xc0010015
#define MSR_HWCR_TSC_FREQ_SEL BIT(24) /* the TSC counts at the frequency of P0 */
#define MSR_NB_CFG 0xc001001f
#define MSR_INT_PENDING 0xc0010055
#define MSR_VM_CR 0xc0010114
#define MSR_VM_CR_LOCK BIT(3)
#define MSR_VM_CR_SVMDIS BIT(4)
#define MSR_VM_HSAVE_PA 0xc0010117
/* Workarounds for errata. */
#define MSR_ERRATA_FIRST 0xc0011020
#define MSR_ERRATA_LAST 0xc001102f

/* Accessing an MSR that does not exist raises #GP. */
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
