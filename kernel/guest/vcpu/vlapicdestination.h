/* Which vCPUs a message is for (SDM vol. 3, 11.6.2 and 11.12.10). */
#pragma once

#include <kernel/lib/compiler.h>
#include <kernel/lib/types.h>

struct vcpu;

/* True if a message with this destination is for v. `wide`: the destination has 32 bits, as in
 * x2APIC mode; else 8, as in messages and in xAPIC mode. Any CPU. */
bool vlapic_is_destination(const struct vcpu *v, u32 destination, bool logical, bool wide);
/* The logical id of the APIC with this id: the cluster in the upper half, one bit in the lower half
 * (11.12.10.2). */
u32 vlapic_logical_id(u32 id);
