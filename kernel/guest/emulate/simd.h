/* The guest's XMM and MMX registers, for emulated instructions. They are in this CPU's registers
 * while the vCPU is loaded (kernel/guest/vcpu/fpu.h). On the vCPU's own CPU, in an exit. */
#pragma once

#include <kernel/lib/compiler.h>
#include <kernel/lib/types.h>

/* n: 0 to 15. Writing leaves bits 255:128 as they are, as SSE instructions do. */
void xmm_read(unsigned int n, u64 value[2]);
void xmm_write(unsigned int n, const u64 value[2]);

/* n: 0 to 7. Both change the x87 state as each MMX instruction does. They must not be called while
 * x87_error_pending(). */
u64 mmx_read(unsigned int n);
void mmx_write(unsigned int n, u64 value);
/* An x87 exception waits for the next x87 or MMX instruction, which raises #MF. */
bool x87_error_pending(void);
