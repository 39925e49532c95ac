/* Exit handling that is the same for every back end. */
#include <kernel/guest/exit/exit.h>

#include <kernel/core/log.h>
#include <kernel/guest/domain/domain.h>
#include <kernel/guest/emulate/mmio.h>
#include <kernel/guest/memory/guestcopy.h>
#include <kernel/guest/vcpu/backend.h>
#include <kernel/guest/vcpu/cpuid.h>
#include <kernel/guest/vcpu/exitring.h>
#include <kernel/guest/vcpu/inject.h>
#include <kernel/guest/vcpu/msr.h>
#include <kernel/guest/vcpu/vcpustate.h>
#include <kernel/guest/vcpu/vlapicpending.h>
#include <kernel/lib/errno.h>
#include <kernel/x86/apic.h>
#include <kernel/x86/control.h>
#include <kernel/x86/cpuid.h>
#include <kernel/x86/exceptions.h>
#include <kernel/x86/msr.h>

#define EXITS_SHOWN 8 /* in the log, when a vCPU ends its domain */

static void set_answer(struct vcpu *v, const struct cpuid *r)
{
	v->reg[RAX] = r->eax;
	v->reg[RBX] = r->ebx;
	v->reg[RCX] = r->ecx;
	v->reg[RDX] = r->edx;
}

static __noinline void answer_varying_leaf(struct vcpu *v)
{
	struct cpuid r = policy_cpuid(v, (u32)v->reg[RAX], (u32)v->reg[RCX]);

	set_answer(v, &r);
}

void exit_cpuid(struct vcpu *v)
{
	const struct cpuid *fixed;

	v->exits[WEIR_EXIT_CPUID]++;
	fixed = policy_cpuid_fixed((u32)v->reg[RAX]);
	if (fixed)
		set_answer(v, fixed);
	else
		answer_varying_leaf(v);
}

/* How an access to this MSR is counted. */
static enum weir_msr_exit msr_exit(u32 msr)
{
	switch (msr) {
	case MSR_X2APIC + APIC_EOI:
		return WEIR_MSR_EOI;
	case MSR_TSC_DEADLINE:
	case MSR_X2APIC + APIC_TIMER_INITIAL:
		return WEIR_MSR_TIMER;
	case MSR_X2APIC + APIC_ICR:
	case MSR_X2APIC + APIC_SELF_IPI:
		return WEIR_MSR_IPI;
	default:
		return WEIR_MSR_OTHER;
	}
}

static void count_msr_exit(struct vcpu *v)
{
	v->exits[WEIR_EXIT_MSR]++;
	v->msr_exits[msr_exit((u32)v->reg[RCX])]++;
}

bool exit_rdmsr(struct vcpu *v)
{
	u64 value;

	count_msr_exit(v);
	if (policy_rdmsr(v, (u32)v->reg[RCX], &value)) {
		inject_gp(v);
		return false;
	}
	v->reg[RAX] = (u32)value;
	v->reg[RDX] = value >> 32;
	return true;
}

bool exit_wrmsr(struct vcpu *v)
{
	count_msr_exit(v);
	if (policy_wrmsr(v, (u32)v->reg[RCX], v->reg[RDX] << 32 | (u32)v->reg[RAX])) {
		inject_gp(v);
		return false;
	}
	return true;
}

bool exit_write_cr4(struct vcpu *v, int source)
{
	struct vcpu_mode m;
	u64 value;

	v->exits[WEIR_EXIT_OTHER]++;
	if (source < 0)
		return false;
	vcpu_backend->mode(v, &m);
	value = mode_is_64bit(&m) ? v->reg[source] : (u32)v->reg[source];
	if (!policy_cr4_is_valid(v, &m, value)) {
		inject_gp(v);
		return false;
	}
	vcpu_backend->write_cr4(v, value);
	return true;
}

bool exit_write_cr8(struct vcpu *v, int source)
{
	u64 value;

	v->exits[WEIR_EXIT_OTHER]++;
	/* Another vCPU has changed the code meanwhile. The guest executes what is there now. */
	if (source < 0)
		return false;
	value = v->reg[source];
	if (value > 0xf) {
		inject_gp(v);
		return false;
	}
	vlapic_set_cr8(v, (u8)value);
	return true;
}

bool exit_xsetbv(struct vcpu *v)
{
	u64 value = v->reg[RDX] << 32 | (u32)v->reg[RAX];
	struct vcpu_mode m;

	v->exits[WEIR_EXIT_OTHER]++;
	vcpu_backend->mode(v, &m);
	if (!(m.cr4 & CR4_OSXSAVE)) {
		inject_ud(v);
		return false;
	}
	/* SDM vol. 1, 13.3: x87 always, AVX only with SSE, and only what CPUID offers. */
	if (m.cpl || (u32)v->reg[RCX] || !(value & XCR0_X87) || (value & ~policy_xcr0()) ||
	    (value & (XCR0_AVX | XCR0_SSE)) == XCR0_AVX) {
		inject_gp(v);
		return false;
	}
	v->xcr0 = value;
	write_xcr0(value);
	return true;
}

void exit_hlt(struct vcpu *v)
{
	v->exits[WEIR_EXIT_HLT]++;
	/* The #DB of a single step ends the halt. */
	if (v->rflags & RFLAGS_TF)
		return;
	vcpu_halt(v);
	if (!(v->rflags & RFLAGS_IF))
		domain_look_if_halted(vcpu_domain(v));
}

bool exit_cache_flush(struct vcpu *v)
{
	struct vcpu_mode m;

	v->exits[WEIR_EXIT_OTHER]++;
	vcpu_backend->mode(v, &m);
	if (m.cpl) {
		inject_gp(v);
		return false;
	}
	return true;
}

void exit_log_state(struct vcpu *v)
{
	log_err("domain %s: vCPU %u:", vcpu_domain(v)->name, v->id);
	vcpu_backend->log_state(v);
	exit_ring_print(v->exit_ring_vcpu, EXITS_SHOWN);
}

/* What an instruction cannot do because Weir does not emulate it: the guest gets #UD. Only the
 * first one of a domain is logged. */
static void refuse(struct vcpu *v, const struct nested_fault *f, const char *why)
{
	const char *what = f->table_walk ? "page table" :
			   f->fetch	 ? "instruction fetch" :
			   f->write	 ? "write" :
					   "read";

	/* Another vCPU may have made it RAM meanwhile. */
	if (guest_is_ram(&v->vm->memory, f->gpa))
		return;
	v->exits[WEIR_EXIT_NESTED_FAULT]++;
	if (atomic_add(&v->vm->refused, 1) == 1)
		log_warn("domain %s: vCPU %u: %s at 0x%lx, where it has no memory, at RIP 0x%lx: "
			 "%s: it gets #UD; further ones are not shown",
			 vcpu_domain(v)->name, v->id, what, f->gpa, v->rip, why);
	inject_ud(v);
}

/* The processor was delivering an event, through tables or to a stack in this place. */
static void fail_delivery(struct vcpu *v, const struct nested_fault *f)
{
	v->exits[WEIR_EXIT_NESTED_FAULT]++;
	if (f->delivering == EXC_DF) {
		exit_log_state(v);
		domain_fault(vcpu_domain(v), v->id, "triple fault", v->rip);
	} else {
		vcpu_backend->inject(v, EXC_DF, 0);
	}
}

void exit_nested_fault(struct vcpu *v, const struct nested_fault *f)
{
	char why[160];

	if (f->delivering >= 0) {
		if (!guest_is_ram(&v->vm->memory, f->gpa))
			fail_delivery(v, f);
		return;
	}
	/* There reads as all ones, and the opcode FFh FFh is invalid. */
	if (f->fetch && !f->table_walk) {
		refuse(v, f, "nothing can be executed there");
		return;
	}
	v->exits[WEIR_EXIT_MMIO]++;
	if (mmio_emulate(v, f->gpa, f->table_walk, why, sizeof(why)) == -EINVAL)
		refuse(v, f, why);
}
