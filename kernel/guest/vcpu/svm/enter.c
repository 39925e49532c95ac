/* One entry into the guest and the exit: events and interrupts, TLB flushes, the world switch. */
#include <kernel/guest/vcpu/svm/enter.h>

#include <kernel/core/cpu.h>
#include <kernel/core/irqoff.h>
#include <kernel/core/paging.h>
#include <kernel/guest/quirks/emulator.h>
#include <kernel/guest/vcpu/exitring.h>
#include <kernel/guest/vcpu/pveoi.h>
#include <kernel/guest/vcpu/svm/svm.h>
#include <kernel/guest/vcpu/vlapicpending.h>
#include <kernel/guest/vcpu/vlapictimer.h>
#include <kernel/lib/atomic.h>

/* run.asm */
void svm_world_switch(u64 *reg, paddr_t guest_vmcb, paddr_t host_vmcb);

/* Flush a vCPU's TLB entries by giving it a fresh ASID, which has none (15.16.1). When the ASIDs
 * are used up, flush the whole TLB once and start again. */
static void assign_asid(struct svm_vcpu *s)
{
	struct svm_cpu *cpu = this_cpu()->arch;

	s->vmcb->tlb_control = TLB_CONTROL_NOTHING;
	if (s->asid_generation == cpu->asid_generation)
		return;
	if (cpu->next_asid >= cpu->nr_asids) {
		cpu->asid_generation++;
		cpu->next_asid = 1;
		s->vmcb->tlb_control = TLB_CONTROL_FLUSH_ALL;
	}
	s->asid_generation = cpu->asid_generation;
	s->vmcb->asid = cpu->next_asid++;
}

/* Put the highest pending interrupt into V_IRQ (15.21.4). The guest takes it without an exit as
 * soon as its RFLAGS.IF and its task priority allow it. EVENTINJ would need an exit to find out
 * when IF is set, and QEMU 10.0 may deliver such an interrupt twice. Interrupts of lower priority
 * wait for an EOI anyway. */
static void offer_interrupt(struct vcpu *v)
{
	struct svm_vcpu *s = v->arch;
	struct vmcb *c = s->vmcb;

	s->offered = vlapic_has_pending(&v->lapic) ? vlapic_offer(v) : -1;
	c->vintr &= ~(u32)(VINTR_V_IRQ | VINTR_V_INTR_PRIO);
	if (s->offered < 0)
		return;
	c->vintr |= VINTR_V_IRQ | (u32)FIELD_PREP(VINTR_V_INTR_PRIO, (u64)s->offered >> 4);
	c->vintr_vector = (u8)s->offered;
}

/* First inject the event that an exit interrupted or raised, then an NMI. */
static void inject_next(struct vcpu *v)
{
	struct svm_vcpu *s = v->arch;
	struct vmcb *c = s->vmcb;

	c->eventinj = s->event;
	s->event = 0;
	if (!(c->eventinj & EVENT_VALID) && v->nmi_pending && !s->nmi_masked) {
		v->nmi_pending = false;
		s->nmi_masked = true;
		c->intercept_1 |= INTERCEPT_IRET;
		c->eventinj = EVENT_VALID | FIELD_PREP(EVENT_TYPE, EVENT_TYPE_NMI) | 2;
	}
	offer_interrupt(v);
	if (v->lapic.timer_lapsed)
		vlapic_timer_before_entry(&v->lapic);
	if (v->lapic.pv_eoi)
		pveoi_before_entry(v, s->offered);
}

/* V_IRQ is clear if the guest has taken the interrupt. */
static void settle_offer(struct vcpu *v)
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

/* If the exit interrupted the delivery of an event, deliver it again (15.7.2). A software interrupt
 * recurs when its instruction is executed again, and an interrupt that is still in V_IRQ is
 * delivered from there. */
static void keep_interrupted_event(struct svm_vcpu *s)
{
	u64 event = s->vmcb->exitintinfo;

	if (!(event & EVENT_VALID) || FIELD_GET(EVENT_TYPE, event) == EVENT_TYPE_SOFT_INT ||
	    (int)FIELD_GET(EVENT_VECTOR, event) == s->offered)
		return;
	s->event = event;
}

void svm_enter(struct vcpu *v)
{
	struct svm_cpu *cpu = this_cpu()->arch;
	struct svm_vcpu *s = v->arch;
	struct vmcb *c = s->vmcb;
	u64 generation;
	bool exits;

	/* A shoot-down sees this CPU in guest mode, or this entry flushes: see
	 * kernel/guest/memory/shootdown.h. Whoever makes an interrupt pending after inject_next()
	 * has checked sees in_guest set too, and sends an IPI, which ends guest mode at once. */
	write_once(&v->tlb.in_guest, true);
	smp_mb();
	generation = read_once(&v->vm->memory.nested.generation);
	if (v->tlb.generation != generation) {
		v->tlb.generation = generation;
		s->asid_generation = 0;
	}
	assign_asid(s);
	inject_next(v);
	/* With V_INTR_MASKING the guest's CR8 is V_TPR (15.21.2). Writes exit only if a lower value
	 * would allow an interrupt that is not offered. */
	c->vintr = (c->vintr & ~(u32)VINTR_V_TPR) | vlapic_cr8(v);
	exits = (vlapic_has_pending(&v->lapic) && vlapic_held_by_tpr(v)) ||
		emulator_needs_cr8_exits(s->offered);
	c->cr_write = CR_WRITE_CR4 | (exits ? CR_WRITE_CR8 : 0);
	c->rax = v->reg[RAX];
	c->rsp = v->reg[RSP];
	c->rip = v->rip;
	c->rflags = v->rflags;

	irqoff_end();
	svm_world_switch(v->reg, direct_map_phys(c), direct_map_phys(cpu->host));
	irqoff_begin();

	store_release(&v->tlb.in_guest, false);
	v->reg[RAX] = c->rax;
	v->reg[RSP] = c->rsp;
	v->rip = c->rip;
	v->rflags = c->rflags;
	v->next_rip = svm_features.next_rip ? c->nrip : 0;
	vlapic_set_cr8(v, c->vintr & 0xf);
	settle_offer(v);
	keep_interrupted_event(s);
	exit_ring_record(v->vm->memory.owner, (u16)v->id, (u32)c->exitcode, v->rip, c->exitinfo1,
			 c->exitinfo2);
}
