/* Exceptions that an emulated instruction raises. */
#include <kernel/guest/vcpu/inject.h>

#include <kernel/guest/vcpu/backend.h>
#include <kernel/guest/vcpu/vcpu.h>

#define VECTOR_UD 6
#define VECTOR_GP 13
#define VECTOR_PF 14

void inject_ud(struct vcpu *v)
{
	vcpu_backend->inject(v, VECTOR_UD, -1);
}

void inject_gp(struct vcpu *v)
{
	vcpu_backend->inject(v, VECTOR_GP, 0);
}

void inject_pf(struct vcpu *v, u64 address, u32 error)
{
	vcpu_backend->set_cr2(v, address);
	vcpu_backend->inject(v, VECTOR_PF, error);
}
