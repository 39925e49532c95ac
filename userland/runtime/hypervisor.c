/* Detection of Weir, and its hypercalls (kernel/abi/hypercall.h). */
#include <string.h>
#include <kernel/x86/cpuid.h>
#include <kernel/x86/interrupts.h>
#include <kernel/x86/io.h>
#include <kernel/x86/vmcall.h>
#include "runtime.h"

static char name[13];
static bool weir, amd;

void hypervisor_init(void)
{
	struct cpuid r;

	amd = cpu_is_amd();
	if (!(cpuid(1, 0).ecx & CPUID1_ECX_HYPERVISOR))
		return;
	r = cpuid(WEIR_CPUID_BASE, 0);
	memcpy(name, &r.ebx, 4);
	memcpy(name + 4, &r.ecx, 4);
	memcpy(name + 8, &r.edx, 4);
	weir = r.eax > WEIR_CPUID_BASE && !strcmp(name, "WeirWeirWeir");
}

bool hypervisor_is_weir(void)
{
	return weir;
}

const char *hypervisor_name(void)
{
	return name;
}

s64 hypercall(u64 number, u64 a, u64 b, u64 c)
{
	return amd ? vmmcall(number, a, b, c) : vmcall(number, a, b, c);
}

/* PM1a_CNT of the ICH9, where QEMU's firmware places it. The sleep type of S5 is 0. */
#define Q35_PM1A_CNT 0x604
#define SLP_EN BIT(13)

void shutdown(u64 how, u64 status)
{
	interrupts_off();
	if (weir)
		hypercall(WEIR_HC_SHUTDOWN, how, status, 0);
	else if (how == HOW_POWER_OFF)
		outw(Q35_PM1A_CNT, SLP_EN);
	halt_forever();
}
