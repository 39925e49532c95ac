/* The hypercall instructions (kernel/abi/hypercall.h): VMMCALL on AMD processors, VMCALL on Intel
 * processors. */
#pragma once

#include <kernel/x86/cpuid.h>

/* True on AMD and Hygon processors. */
static inline bool cpu_is_amd(void)
{
	u32 vendor = cpuid(0, 0).ebx;

	return vendor == 0x68747541 || vendor == 0x6f677948; /* AuthenticAMD, HygonGenuine */
}

static inline long vmmcall(unsigned long number, unsigned long a, unsigned long b, unsigned long c)
{
	long result;

	__asm__ volatile("vmmcall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "memory");
	return result;
}

static inline long vmcall(unsigned long number, unsigned long a, unsigned long b, unsigned long c)
{
	long result;

	__asm__ volatile("vmcall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "memory");
	return result;
}
