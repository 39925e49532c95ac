/* Interprocessor interrupts between the vCPUs of a domain (SDM vol. 3, 11.6.1 and 11.12.9). On the
 * sender's CPU. */
#pragma once

#include <kernel/lib/compiler.h>
#include <kernel/lib/types.h>

struct vcpu;

/* The vCPU writes the interrupt command register or SELF IPI. -EINVAL: raise #GP. */
int __must_check vlapic_write_icr(struct vcpu *v, u64 icr);
int __must_check vlapic_write_self_ipi(struct vcpu *v, u64 value);
/* The vCPU, in xAPIC mode, writes the low half of the interrupt command register. */
void vlapic_send_xapic_command(struct vcpu *v, u32 low);
