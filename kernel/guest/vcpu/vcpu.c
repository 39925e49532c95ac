/* vCPUs: made, reset, loaded into a CPU, freed. How they sleep and wake is in
 * kernel/guest/vcpu/vcpustate.c. */
#include <kernel/guest/vcpu/vcpu.h>

#include <kernel/guest/vcpu/backend.h>
#include <kernel/guest/vcpu/fpu.h>
#include <kernel/lib/string.h>
#include <kernel/mm/alloc.h>

#define MSR_TSC_AUX 0xc0000103

struct vcpu *vcpu_create(struct vm *vm, u32 cpu, u8 priority)
{
	struct vcpu *v = kzalloc(sizeof(*v));

	if (!v)
		return NULL;
	v->vm = vm;
	v->id = vm->nr_vcpus;
	v->tlb.cpu = cpu;
	v->priority = priority;
	v->state = VCPU_OFFLINE;
	list_init(&v->run_link);
	if (fpu_create(v) || vcpu_backend->create(v)) {
		vcpu_destroy(v);
		return NULL;
	}
	vcpu_reset(v);
	vm->vcpu[vm->nr_vcpus++] = v;
	nested_add_tlb(&vm->memory.nested, &v->tlb);
	return v;
}

void vcpu_reset(struct vcpu *v)
{
	v->nmi_pending = false;
	memset(v->dr, 0, sizeof(v->dr));
	v->tsc_aux = v->kvmclock = 0;
	v->kvmclock_version = 0;
	vlapic_init(v);
	fpu_reset(v);
	vcpu_backend->reset(v);
}

void vcpu_destroy(struct vcpu *v)
{
	vcpu_backend->destroy(v);
	fpu_destroy(v);
	kfree(v);
}

/* The breakpoint addresses stay in the registers between exit and entry: while Weir runs, DR7 has
 * them off. */
static void switch_breakpoints(struct vcpu *from, const struct vcpu *to)
{
	const u64 *in = to->dr;
	u64 *out;

	if (from) {
		out = from->dr;
		__asm__ volatile("mov %%db0, %0; mov %%db1, %1; mov %%db2, %2; mov %%db3, %3"
				 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3]));
	}
	__asm__ volatile("mov %0, %%db0; mov %1, %%db1; mov %2, %%db2; mov %3, %%db3"
			 :
			 : "r"(in[0]), "r"(in[1]), "r"(in[2]), "r"(in[3]));
}

void vcpu_load(struct vcpu *v)
{
	struct cpu *cpu = this_cpu();

	if (cpu->current == v)
		return;
	fpu_switch(cpu->current, v);
	switch_breakpoints(cpu->current, v);
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
