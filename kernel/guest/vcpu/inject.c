/* Injects the exceptions that an emulated instruction raises. */
#include <kernel/guest/vcpu/inject.h>

#include <kernel/guest/vcpu/backend.h>
#include <kernel/guest/vcpu/vcpu.h>
#include <kernel/x86/exceptions.h>

void inject_ud(struct vcpu *v)
{
	vcpu_backend->inject(v, EXC_UD, -1);
}

void inject_gp(struct vcpu *v)
{
	vcpu_backend->inject(v, EXC_GP, 0);
}

void inject_pf(struct vcpu *v, u64 address, u32 error)
{
	vcpu_backend->set_cr2(v, address);
	vcpu_backend->inject(v, EXC_PF, error);
}
