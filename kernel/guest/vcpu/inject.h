/* Injects the exceptions that an emulated instruction raises. On the vCPU's own CPU, in an exit. */
#pragma once

#include <kernel/lib/compiler.h>

struct vcpu;

/* Raise #UD, #GP(0), or #PF with this address in CR2 and this error code, at the next entry. */
void inject_ud(struct vcpu *v);
void inject_gp(struct vcpu *v);
void inject_pf(struct vcpu *v, u64 address, u32 error);
