/* A guest's NMIs. One is in service from its injection until the guest's next IRET has completed.
 * Meanwhile one more can wait.
 *
 * SVM tells when an IRET begins, not when it has completed. So Weir single-steps over it: it sets
 * RFLAGS.TF for this one instruction, and the #DB that follows exits. If the IRET faults, NMIs stay
 * masked. In a step all exceptions exit, so that no handler of the guest finds TF in the RFLAGS
 * that it is given, and no interrupt is offered, for the same reason.
 *
 * An NMI that comes in the shadow of STI or MOV SS waits for the instruction after it in the same
 * way. VINTR could not tell: the guest may have interrupts disabled. */
#include <kernel/guest/vcpu/svm/nmi.h>

#include <kernel/core/cpu.h>
#include <kernel/core/irq.h>
#include <kernel/guest/emulate/guestlinear.h>
#include <kernel/guest/emulate/guestwalk.h>
#include <kernel/guest/memory/guestcopy.h>
#include <kernel/guest/quirks/noassists.h>
#include <kernel/guest/vcpu/inject.h>
#include <kernel/guest/vcpu/svm/state.h>
#include <kernel/lib/atomic.h>
#include <kernel/x86/control.h>
#include <kernel/x86/debug.h>
#include <kernel/x86/exceptions.h>

/* 12.2.4 and 12.2.5: where a TSS has bits 15:8 of the flags, with TF in bit 0. */
#define TSS32_FLAGS 0x25
#define TSS16_FLAGS 0x11
#define TSS_IS_32 BIT(3) /* in the attributes of TR */
#define FLAGS_TF 1

#define NO_TASK ~0UL

/* Of NMIs that come while none is in service, the first is taken at once, and another one waits.
 * Here the first one may have to wait for an entry, so two can wait. */
static void collect(struct vcpu *v)
{
	u32 arrived;

	if (!read_once(&v->nmi_arrived))
		return;
	arrived = atomic_xchg(&v->nmi_arrived, 0);
	v->nmi_waiting = (u8)MIN(v->nmi_waiting + (arrived & 1) + (arrived >> 1),
				 v->nmi_masked ? 1u : 2u);
}

/* What the next instruction does with RFLAGS. */
enum flags_use { FLAGS_UNUSED, FLAGS_LOADED, FLAGS_STORED };

/* MOV to a debug register counts as one that cannot be stepped: its DR6 would be lost. So does what
 * can switch tasks. */
static enum flags_use flags_use(struct vcpu *v)
{
	u8 bytes[15];
	unsigned int nr = guest_fetch(v, bytes), at = noassists_prefixes(v, bytes, nr);

	switch (at < nr ? bytes[at] : 0) {
	case 0x9d: /* POPF */
	case 0xcf: /* IRET */
		return FLAGS_LOADED;
	case 0x9a: /* CALL far */
	case 0x9c: /* PUSHF */
	case 0xcc: /* INT3 */
	case 0xcd: /* INT */
	case 0xce: /* INTO */
	case 0xea: /* JMP far */
	case 0xf1: /* ICEBP */
		return FLAGS_STORED;
	case 0x0f:
		break;
	default:
		return FLAGS_UNUSED;
	}
	switch (at + 1 < nr ? bytes[at + 1] : 0) {
	case 0x07: /* SYSRET */
		return FLAGS_LOADED;
	case 0x05: /* SYSCALL */
	case 0x23: /* MOV to DR */
		return FLAGS_STORED;
	default:
		return FLAGS_UNUSED;
	}
}

/* The address of TF in the TSS in which an IRET to another task will store the flags. */
static gpaddr_t task_flags(struct vcpu *v)
{
	const struct vmcb *c = svm_vmcb(v);
	u32 error;
	gpaddr_t gpa;

	if (!(v->rflags & RFLAGS_NT) || v->rflags & RFLAGS_VM || !(c->cr0 & CR0_PE) ||
	    c->efer & EFER_LMA)
		return NO_TASK;
	if (guest_translate_as(v,
			       c->tr.base + (c->tr.attrib & TSS_IS_32 ? TSS32_FLAGS : TSS16_FLAGS),
			       WALK_WRITE, &gpa, &error))
		return NO_TASK;
	return gpa;
}

static void clear_task_flag(struct vcpu *v, gpaddr_t gpa)
{
	u8 flags;

	if (gpa == NO_TASK || guest_read(&v->vm->memory, gpa, &flags, sizeof(flags)))
		return;
	flags &= (u8)~FLAGS_TF;
	(void)!guest_write(&v->vm->memory, gpa, &flags, sizeof(flags));
}

static void step(struct vcpu *v, bool loads_flags)
{
	struct svm_vcpu *s = v->arch;
	struct vmcb *c = s->vmcb;

	s->step = (struct svm_step){
		.active = true,
		.own_tf = v->rflags & RFLAGS_TF,
		.loads_flags = loads_flags,
		.dr6 = c->dr6,
		.task_flags = s->iret_begun ? task_flags(v) : NO_TASK,
	};
	v->rflags |= RFLAGS_TF;
	c->dr6 &= ~(DR6_BS | DR6_B);
	c->exceptions = ~(1u << EXC_NMI);
}

static void inject(struct vcpu *v)
{
	struct svm_vcpu *s = v->arch;
	struct vmcb *c = s->vmcb;

	v->nmi_waiting--;
	v->nmi_masked = true;
	c->intercept_1 |= INTERCEPT_IRET;
	c->interrupt_shadow = 0;
	c->eventinj = EVENT_VALID | FIELD_PREP(EVENT_TYPE, EVENT_TYPE_NMI) | EXC_NMI;
}

void svm_nmi_before_entry(struct vcpu *v)
{
	struct svm_vcpu *s = v->arch;
	struct vmcb *c = s->vmcb;
	bool ready;
	enum flags_use use;

	collect(v);
	ready = v->nmi_waiting && !v->nmi_masked;
	if (c->eventinj & EVENT_VALID) {
		/* A handler runs before the IRET does. */
		if (s->iret_begun)
			c->intercept_1 |= INTERCEPT_IRET;
		s->iret_begun = false;
		/* The exit that this interrupt causes comes after the event and before the next
		 * instruction. */
		if (ready)
			irq_send(this_cpu()->id, VECTOR_KICK);
		return;
	}
	if (s->iret_begun) {
		step(v, true);
		return;
	}
	if (!ready)
		return;
	use = c->interrupt_shadow & INTERRUPT_SHADOW ? flags_use(v) : FLAGS_STORED;
	/* An instruction that stores the flags cannot be stepped over without the guest's noticing.
	 * In a shadow no software has a use for one, so there the NMI may come first. */
	if (use == FLAGS_STORED)
		inject(v);
	else
		step(v, use == FLAGS_LOADED);
}

void svm_nmi_iret(struct vcpu *v)
{
	struct svm_vcpu *s = v->arch;

	s->iret_begun = true;
	v->attention = true;
	s->vmcb->intercept_1 &= ~(u32)INTERCEPT_IRET;
}

/* The instruction has been executed. True: nobody else wants the #DB. */
static bool stepped(struct vcpu *v)
{
	struct svm_vcpu *s = v->arch;
	struct vmcb *c = s->vmcb;
	bool wanted = s->step.own_tf || (c->dr6 & DR6_B);

	if (!s->step.own_tf) {
		if (!s->step.loads_flags)
			v->rflags &= ~RFLAGS_TF;
		c->dr6 &= ~DR6_BS;
	}
	c->dr6 |= s->step.dr6 & (wanted ? DR6_BS : DR6_BS | DR6_B);
	clear_task_flag(v, s->step.task_flags);
	if (s->iret_begun)
		v->nmi_masked = false;
	s->iret_begun = false;
	return !wanted;
}

/* The instruction has raised an exception, which only a step intercepts. */
static void raise(struct vcpu *v, u8 vector)
{
	const struct vmcb *c = svm_vmcb(v);

	if (vector == EXC_PF)
		svm_set_cr2(v, c->exitinfo2);
	svm_inject(v, vector, exception_has_error_code(vector) ? (s64)(u32)c->exitinfo1 : -1);
}

bool svm_nmi_after_exit(struct vcpu *v)
{
	struct svm_vcpu *s = v->arch;
	struct vmcb *c = s->vmcb;
	u64 vector = c->exitcode - VMEXIT_EXCP_BASE;

	s->step.active = false;
	c->exceptions = INTERCEPTED_EXCEPTIONS;
	if (vector == EXC_DB && (c->dr6 & DR6_BS))
		return stepped(v);
	if (!s->step.own_tf)
		v->rflags &= ~RFLAGS_TF;
	c->dr6 |= s->step.dr6 & (DR6_BS | DR6_B);
	if (vector >= NR_EXCEPTIONS || INTERCEPTED_EXCEPTIONS & 1u << vector)
		return false;
	raise(v, (u8)vector);
	return true;
}

void svm_nmi_reset(struct vcpu *v)
{
	struct svm_vcpu *s = v->arch;

	v->nmi_masked = false;
	s->iret_begun = false;
	s->step = (struct svm_step){ .active = false };
	s->vmcb->intercept_1 &= ~(u32)INTERCEPT_IRET;
}
