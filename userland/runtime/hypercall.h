/* Weir's hypercalls (kernel/abi/hypercall.h), and whether there is anybody to call. Natively all return -ENOSYS. */
#pragma once

#include <kernel/abi/hypercall.h>
#include <kernel/compiler.h>

/* Look for Weir (CPUID 0x40000000). */
void hypercall_init(void);
bool weir_present(void);
u32 weir_abi_version(void);

/* First guest frame and number of frames; 0 or a negative errno. */
s64 weir_mem_release(u64 first_gfn, u64 frames);
s64 weir_mem_populate(u64 first_gfn, u64 frames);
/* Fills *stats; what this Weir does not know of is zero. 0 or a negative errno. */
s64 weir_get_stats(struct weir_stats *stats);

enum machine_end { MACHINE_POWER_OFF, MACHINE_REBOOT, MACHINE_CRASHED };
/* End the domain; natively power off the (QEMU) machine, or halt where that does not work. */
void machine_end(enum machine_end how, u64 status) __noreturn;
