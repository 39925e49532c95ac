/* One entry into the guest and the exit: events and interrupts, TLB flushes, the world switch. */
#include <kernel/guest/vcpu/svm/enter.h>

#include <kernel/core/cpu.h>
#include <kernel/core/irqoff.h>
#include <kernel/core/paging.h>
#include <kernel/core/panic.h>
#include <kernel/guest/quirks/emulator.h>
#include <kernel/guest/vcpu/exitring.h>
#include <kernel/guest/vcpu/extint.h>
#include <kernel/guest/vcpu/pveoi.h>
#include <kernel/guest/vcpu/svm/asid.h>
#include <kernel/guest/vcpu/svm/nmi.h>
#include <kernel/guest/vcpu/svm/svm.h>
#include <kernel/guest/vcpu/vlapicpending.h>
#include <kernel/guest/vcpu/vlapictimer.h>
#include <kernel/lib/atomic.h>

/* run.asm */
void svm_world_switch(u64 *reg, paddr_t guest_vmcb, paddr_t host_vmcb);

/* Whatever the priorities: mostly nothing is pending. */
static bool may_be_offered(const struct vcpu *v)
{
	return vlapic_has_pending(&v->lapic) || read_once(&v->vm->extint.raised);
}

/* Put the highest pending interrupt into V_IRQ (15.21.4). The guest takes it without an exit as
 * soon as its RFLAGS.IF and its task priority allow it. EVENTINJ would need an exit to find out
 * when IF is set, and QEMU 10.0 may deliver such an interrupt twice. Interrupts of lower priority
 * wait for an EOI anyway. */
static void offer_interrupt(struct vcpu *v, bool allowed)
{
	struct svm_vcpu *s = v->arch;
	struct vmcb *c = s->vmcb;

	s->offered = allowed && may_be_offered(v) ? vlapic_offer(v) : -1;
	c->vintr &= ~(u32)(VINTR_V_IRQ | VINTR_V_INTR_PRIO | VINTR_V_IGN_TPR);
	if (s->offered < 0)
		return;
	c->vintr |= VINTR_V_IRQ | (u32)FIELD_PREP(VINTR_V_INTR_PRIO, (u64)s->offered >> 4);
	if (v->extint_offered)
		c->vintr |= VINTR_V_IGN_TPR;
	c->vintr_vector = (u8)s->offered;
}

/* First inject the event that an exit interrupted or raised, then an NMI. An interrupt taken in a
 * single step would push its RFLAGS.TF. */
static void inject_next(struct vcpu *v)
{
	struct svm_vcpu *s = v->arch;
	struct vmcb *c = s->vmcb;

	c->eventinj = s->event;
	s->event = 0;
	svm_nmi_before_entry(v);
	offer_interrupt(v, !s->step.active);
	if (v->lapic.timer_lapsed)
		vlapic_timer_before_entry(&v->lapic);
	extint_before_entry(v);
	if (v->lapic.pv_eoi)
		pveoi_before_entry(v, s->offered);
}

/* V_IRQ is clear if the guest has taken the interrupt. */
static __noinline void settle_offer(struct vcpu *v)
{
	struct svm_vcpu *s = v->arch;
	bool taken = !(s->vmcb->vintr & VINTR_V_IRQ);

	if (s->offered >= 0)
		vlapic_settle(v, (u8)s->offered, taken);
	if (taken)
		s->offered = -1;
	if (v->lapic.pv_eoi_set)
		pveoi_after_exit(v);
}

/* If the exit interrupted the delivery of an event, deliver it again (15.7.2), unless its
 * instruction is executed again. An interrupt that is still in V_IRQ is delivered from there. */
static __noinline void keep_interrupted_event(struct vcpu *v)
{
	struct svm_vcpu *s = v->arch;
	u64 event = s->vmcb->exitintinfo;

	if (event_is_of_instruction(event) || (int)FIELD_GET(EVENT_VECTOR, event) == s->offered)
		return;
	s->event = event;
	v->attention = true;
}

/* With V_INTR_MASKING the guest's CR8 is V_TPR (15.21.2). Writes exit only if a lower value would
 * allow an interrupt that is not offered. */
static void choose_cr8_exits(struct vcpu *v)
{
	const struct svm_vcpu *s = v->arch;
	bool exits = (vlapic_has_pending(&v->lapic) && vlapic_held_by_tpr(v)) ||
		     emulator_needs_cr8_exits(s->offered);

	s->vmcb->cr_write = CR_WRITE_CR4 | (exits ? CR_WRITE_CR8 : 0);
}

/* Something stays pending, or was written into the VMCB for this entry alone. */
static bool is_unsettled(const struct vcpu *v)
{
	const struct svm_vcpu *s = v->arch;
	const struct vmcb *c = s->vmcb;

	return (c->eventinj & EVENT_VALID) || s->offered >= 0 || c->tlb_control ||
	       vlapic_has_pending(&v->lapic) || v->lapic.timer_lapsed || v->lapic.pv_eoi_set ||
	       (v->lapic.pv_eoi && vlapic_is_in_service(&v->lapic)) || v->nmi_waiting ||
	       s->iret_begun || s->step.active;
}

/* With one branch, since mostly nothing does. */
static bool needs_attention(const struct vcpu *v)
{
	const struct vm *vm = v->vm;
	u64 flush = v->tlb.generation ^ read_once(&vm->memory.nested.generation);

	return flush | read_once(&v->attention) | read_once(&vm->extint.attention);
}

static __noinline void prepare(struct vcpu *v, struct svm_cpu *cpu)
{
	struct svm_vcpu *s = v->arch;
	u64 generation = read_once(&v->vm->memory.nested.generation);

	if (v->tlb.generation != generation) {
		v->tlb.generation = generation;
		svm_flush_asid(s);
	}
	svm_assign_asid(s, cpu);
	/* What becomes pending from here on sets it again. */
	(void)atomic_xchg(&v->attention, false);
	inject_next(v);
	choose_cr8_exits(v);
	if (is_unsettled(v))
		write_once(&v->attention, true);
}

/* An ASID can become invalid only by svm_flush_asid() or by the entry of another vCPU. Both make
 * the next entry look. */
static void assert_asid(const struct svm_vcpu *s __unused, const struct svm_cpu *cpu __unused)
{
#ifdef WEIR_DEBUG
	BUG_ON(svm_asid_change(s, cpu));
#endif
}

void svm_enter(struct vcpu *v)
{
	struct svm_cpu *cpu = this_cpu()->arch;
	struct vmcb *c = svm_vmcb(v);
	u64 rip;

	/* A shoot-down sees this CPU in guest mode, or this entry flushes: see
	 * kernel/guest/memory/shootdown.h. Whoever makes an interrupt pending after inject_next()
	 * has checked sees in_guest set too, and sends an IPI, which ends guest mode at once. */
	write_once(&v->tlb.in_guest, true);
	smp_mb();
	if (unlikely(needs_attention(v)))
		prepare(v, cpu);
	c->vintr = (c->vintr & ~(u32)VINTR_V_TPR) | vlapic_cr8(v);
	c->rax = v->reg[RAX];
	c->rsp = v->reg[RSP];
	c->rip = v->rip;
	c->rflags = v->rflags;

	assert_asid(v->arch, cpu);
	irqoff_end();
	svm_world_switch(v->reg, direct_map_phys(c), cpu->host);
	irqoff_begin();

	rip = c->rip;
	store_release(&v->tlb.in_guest, false);
	v->reg[RAX] = c->rax;
	v->reg[RSP] = c->rsp;
	v->rip = rip;
	v->rflags = c->rflags;
	vlapic_set_cr8(v, c->vintr & 0xf);
	if (unlikely(read_once(&v->attention)))
		settle_offer(v);
	if (unlikely(c->exitintinfo & EVENT_VALID))
		keep_interrupted_event(v);
	exit_ring_record(v->exit_ring_vcpu, c->exitcode, rip, c->exitinfo1, c->exitinfo2);
}
