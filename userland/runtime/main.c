/* The C entry: initializes the runtime and calls the program. */
#include <string.h>
#include <kernel/x86/cpuid.h>
#include <kernel/x86/interrupts.h>
#include <kernel/x86/pagetable.h>
#include "runtime.h"

extern u64 pdpt[512];
void runtime_main(void);

/* Map everything above 4 GiB uncached: device registers may lie there (64-bit BARs), and the
 * runtime does not use memory there. */
static void map_high(void)
{
	if (cpuid(0x80000000, 0).eax < 0x80000001 ||
	    !(cpuid(0x80000001, 0).edx & CPUID80000001_EDX_PAGE1GB))
		return;
	for (u64 i = 4; i < 512; i++)
		pdpt[i] = i << 30 | PTE_P | PTE_W | PTE_PS | PTE_UNCACHED;
}

void greet(void)
{
	struct memory_region spare = spare_region();

	print("runtime: started by %s, command line \"%s\"\n", boot_protocol(), command_line());
	if (hypervisor_is_weir())
		print("runtime: running under Weir, ABI version %ld\n",
		      hypercall(WEIR_HC_VERSION, 0, 0, 0));
	else
		print("runtime: not running under Weir%s%s\n",
		      hypervisor_name()[0] ? "; CPUID reports " : "", hypervisor_name());
	print("runtime: memory %lu KiB, heap %lu KiB, spare %lu KiB at %lx; TSC %lu kHz\n",
	      memory_total() >> 10, heap_free_bytes() >> 10, spare.size >> 10, spare.base,
	      clock_tsc_khz());
}

void runtime_main(void)
{
	console_init();
	trap_init();
	hypervisor_init();
	boot_init();
	map_high();
	memory_init();
	clock_init();
	x2apic_init();
	interrupts_on();
	program_main();
	fatal("program_main() has returned");
}
