/* vCPUs: made, loaded, ended. How they sleep and wake is in kernel/sched.c. */
#include <kernel/vcpu.h>

#include <kernel/alloc.h>
#include <kernel/domain.h>
#include <kernel/fpu.h>
#include <kernel/vcpuload.h>

#define MSR_TSC_AUX 0xc0000103

struct vcpu *vcpu_create(struct domain *d, u32 id, u32 cpu, u8 priority)
{
	struct vcpu *v = kzalloc(sizeof(*v));

	if (!v)
		return NULL;
	v->domain = d;
	v->id = id;
	v->cpu = cpu;
	v->priority = priority;
	v->state = VCPU_OFFLINE;
	list_init(&v->run_link);
	vlapic_init(v);
	if (fpu_create(v) || vcpu_backend->create(v)) {
		vcpu_destroy(v);
		return NULL;
	}
	return v;
}

void vcpu_destroy(struct vcpu *v)
{
	vcpu_backend->destroy(v);
	fpu_destroy(v);
	kfree(v);
}

void vcpu_load(struct vcpu *v)
{
	struct cpu *cpu = this_cpu();

	if (cpu->current == v)
		return;
	fpu_switch(cpu->current, v);
	if (cpuid(0x80000001, 0).edx & BIT(27)) /* RDTSCP */
		wrmsr(MSR_TSC_AUX, v->tsc_aux);
	vcpu_backend->load(v);
	cpu->current = v;
}

void vcpu_unload(struct vcpu *v)
{
	if (this_cpu()->current == v)
		this_cpu()->current = NULL;
}
