/* Creates, resets, loads and frees vCPUs. kernel/guest/vcpu/vcpustate.c has sleeping and waking. */
#include <kernel/guest/vcpu/vcpu.h>

#include <kernel/guest/vcpu/backend.h>
#include <kernel/guest/vcpu/cpuid.h>
#include <kernel/guest/vcpu/exitring.h>
#include <kernel/guest/vcpu/fpu.h>
#include <kernel/guest/vcpu/speculation.h>
#include <kernel/lib/string.h>
#include <kernel/mm/alloc.h>
#include <kernel/x86/debug.h>
#include <kernel/x86/msr.h>

struct vcpu *vcpu_create(struct vm *vm, u32 cpu, u8 priority)
{
	struct vcpu *v = kzalloc(sizeof(*v));

	if (!v)
		return NULL;
	v->vm = vm;
	v->id = vm->nr_vcpus;
	v->exit_ring_vcpu = exit_ring_vcpu(vm->memory.owner, (u16)v->id);
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
	v->nmi_arrived = 0;
	v->nmi_waiting = 0;
	memset(v->dr, 0, sizeof(v->dr));
	v->tsc_aux = v->kvmclock = 0;
	v->kvmclock_version = 0;
	v->cr4_allowed = policy_cr4();
	guest_ram_forget(&v->ram);
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

/* The breakpoint addresses stay in the registers between exit and entry. They have no effect on
 * Weir, since DR7 disables them while it runs. */
static void switch_breakpoints(struct vcpu *from, const struct vcpu *to)
{
	if (from) {
		from->dr[0] = read_dr(0);
		from->dr[1] = read_dr(1);
		from->dr[2] = read_dr(2);
		from->dr[3] = read_dr(3);
	}
	write_dr(0, to->dr[0]);
	write_dr(1, to->dr[1]);
	write_dr(2, to->dr[2]);
	write_dr(3, to->dr[3]);
}

void vcpu_load(struct vcpu *v)
{
	struct cpu *cpu = this_cpu();

	if (cpu->current == v)
		return;
	/* After vcpu_unload(), the last domain is not known. */
	if (!cpu->current || cpu->current->vm != v->vm)
		speculation_change_domain();
	/* Others may have run here meanwhile, and used up the CPU's ASIDs. */
	write_once(&v->attention, true);
	fpu_switch(cpu->current, v);
	switch_breakpoints(cpu->current, v);
	if (policy_has_tsc_aux())
		wrmsr(MSR_TSC_AUX, v->tsc_aux);
	cpu->current = v;
}

void vcpu_unload(struct vcpu *v)
{
	if (this_cpu()->current == v)
		this_cpu()->current = NULL;
}
