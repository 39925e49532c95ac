/* Dispatches SVM's exit codes to the common handlers. */
#include <kernel/guest/exit/svmexit.h>

#include <kernel/core/irq.h>
#include <kernel/core/log.h>
#include <kernel/guest/domain/domain.h>
#include <kernel/guest/exit/exit.h>
#include <kernel/guest/exit/exitio.h>
#include <kernel/guest/exit/exitmcheck.h>
#include <kernel/guest/exit/hypercall.h>
#include <kernel/guest/quirks/emulator.h>
#include <kernel/guest/quirks/noassists.h>
#include <kernel/guest/vcpu/backend.h>
#include <kernel/guest/vcpu/svm/nmi.h>
#include <kernel/guest/vcpu/svm/state.h>
#include <kernel/guest/vcpu/svm/svm.h>
#include <kernel/guest/vcpu/svm/vmruncheck.h>
#include <kernel/x86/exceptions.h>

static __noinline void advance_otherwise(struct vcpu *v, unsigned int opcode_length)
{
	svm_set_rip(v, svm_features.next_rip ? svm_vmcb(v)->nrip :
					       noassists_next_rip(v, opcode_length));
}

/* Advance over the instruction, which has been executed. Its opcode, without prefixes, has this
 * many bytes. */
static __always_inline void advance(struct vcpu *v, unsigned int opcode_length)
{
	if (unlikely(!svm_features.next_rip || !svm_set_rip_without_traps(v, svm_vmcb(v)->nrip)))
		advance_otherwise(v, opcode_length);
}

static enum guest_segment string_segment(struct vcpu *v, const struct vmcb *c)
{
	if (c->exitinfo1 & IOIO_IN)
		return SEG_ES;
	if (svm_features.decode_assists)
		return (enum guest_segment)FIELD_GET(IOIO_SEGMENT, c->exitinfo1);
	return noassists_outs_segment(v);
}

static void handle_string_io(struct vcpu *v, const struct vmcb *c)
{
	struct string_io io = {
		.port = (u16)FIELD_GET(IOIO_PORT, c->exitinfo1),
		.size = (u8)FIELD_GET(IOIO_SIZE, c->exitinfo1),
		.address_size = (u8)(2 * FIELD_GET(IOIO_ADDRESS, c->exitinfo1)),
		.in = c->exitinfo1 & IOIO_IN,
		.rep = c->exitinfo1 & IOIO_REP,
		.next_rip = c->exitinfo2,
	};

	io.segment = string_segment(v, c);
	exit_string_io(v, &io);
}

/* All but OUT to a port where no device is near. */
static __noinline void handle_answered_io(struct vcpu *v, const struct vmcb *c)
{
	u32 port = FIELD_GET(IOIO_PORT, c->exitinfo1), size = FIELD_GET(IOIO_SIZE, c->exitinfo1);

	if (c->exitinfo1 & IOIO_STR)
		handle_string_io(v, c);
	else if (exit_io(v, port, size, c->exitinfo1 & IOIO_IN))
		svm_set_rip_after_port(v, c->exitinfo2, port, size);
}

static void handle_io(struct vcpu *v)
{
	const struct vmcb *c = svm_vmcb(v);
	u32 info = (u32)c->exitinfo1, port = FIELD_GET(IOIO_PORT, info);

	if (!(info & (IOIO_STR | IOIO_IN)) && exit_absent_output(v, port))
		svm_set_rip_after_port(v, c->exitinfo2, port, FIELD_GET(IOIO_SIZE, info));
	else
		handle_answered_io(v, c);
}

static void handle_cpuid(struct vcpu *v)
{
	exit_cpuid(v);
	advance(v, 2);
}

static void handle_msr(struct vcpu *v)
{
	if (svm_vmcb(v)->exitinfo1 ? exit_wrmsr(v) : exit_rdmsr(v))
		advance(v, 2);
}

static void handle_hypercall(struct vcpu *v)
{
	if (exit_hypercall(v, svm_vmcb(v)->cpl))
		advance(v, 3);
}

static void handle_hlt(struct vcpu *v)
{
	advance(v, 1);
	exit_hlt(v);
}

static void handle_xsetbv(struct vcpu *v)
{
	if (exit_xsetbv(v))
		advance(v, 3);
}

static void handle_cache_flush(struct vcpu *v)
{
	if (exit_cache_flush(v))
		advance(v, 2);
}

static int cr_source(struct vcpu *v, unsigned int cr)
{
	if (svm_features.decode_assists)
		return (int)FIELD_GET(CR_WRITE_REGISTER, svm_vmcb(v)->exitinfo1);
	return noassists_cr_source(v, cr);
}

static void handle_cr4_write(struct vcpu *v)
{
	if (exit_write_cr4(v, cr_source(v, 4)))
		advance(v, 3);
}

static void handle_cr8_write(struct vcpu *v)
{
	if (exit_write_cr8(v, cr_source(v, 8)))
		advance(v, 3);
}

static void handle_nested_fault(struct vcpu *v)
{
	const struct vmcb *c = svm_vmcb(v);
	struct nested_fault f = {
		.gpa = c->exitinfo2,
		.write = c->exitinfo1 & NPF_WRITE,
		.fetch = c->exitinfo1 & NPF_FETCH,
		.table_walk = c->exitinfo1 & NPF_TABLE_WALK,
		.delivering = c->exitintinfo & EVENT_VALID ?
				      (int)FIELD_GET(EVENT_VECTOR, c->exitintinfo) :
				      -1,
	};

	exit_nested_fault(v, &f);
}

static void handle_interrupt(struct vcpu *v)
{
	v->exits[WEIR_EXIT_INTERRUPT]++;
	irq_window();
}

static void handle_iret(struct vcpu *v)
{
	v->exits[WEIR_EXIT_OTHER]++;
	svm_nmi_iret(v);
}

static void handle_rdpmc(struct vcpu *v)
{
	v->exits[WEIR_EXIT_OTHER]++;
	inject_gp(v);
}

static void handle_debug_exception(struct vcpu *v)
{
	v->exits[WEIR_EXIT_OTHER]++;
	vcpu_backend->inject(v, EXC_DB, -1);
}

static void handle_alignment_check(struct vcpu *v)
{
	v->exits[WEIR_EXIT_OTHER]++;
	vcpu_backend->inject(v, EXC_AC, 0);
}

/* An instruction that CPUID does not offer. */
static void handle_undefined(struct vcpu *v)
{
	v->exits[WEIR_EXIT_OTHER]++;
	inject_ud(v);
}

static void handle_shutdown(struct vcpu *v)
{
	exit_log_state(v);
	domain_fault(vcpu_domain(v), v->id, "triple fault", v->rip);
}

static void handle_refusal(struct vcpu *v)
{
	const char *why = svm_why_refused(svm_vmcb(v));

	if (!why)
		why = emulator_refused_state();
	exit_log_state(v);
	domain_crash(vcpu_domain(v), "vCPU %u: the processor refuses its state at RIP 0x%lx: %s",
		     v->id, v->rip, why ? why : "no rule that Weir knows is broken");
}

static void handle_unexpected(struct vcpu *v)
{
	const struct vmcb *c = svm_vmcb(v);

	exit_log_state(v);
	domain_crash(vcpu_domain(v), "vCPU %u: exit 0x%lx (info 0x%lx, 0x%lx) at RIP 0x%lx", v->id,
		     c->exitcode, c->exitinfo1, c->exitinfo2, v->rip);
}

static __noinline void handle_step(struct vcpu *v)
{
	if (svm_nmi_after_exit(v))
		v->exits[WEIR_EXIT_OTHER]++;
	else
		svm_handle_exit(v);
}

/* What a guest seldom causes. */
static __noinline void handle_rare(struct vcpu *v)
{
	switch (svm_vmcb(v)->exitcode) {
	case VMEXIT_CR4_WRITE:
		return handle_cr4_write(v);
	case VMEXIT_CR8_WRITE:
		return handle_cr8_write(v);
	case VMEXIT_EXCP_DB:
		return handle_debug_exception(v);
	case VMEXIT_EXCP_AC:
		return handle_alignment_check(v);
	case VMEXIT_EXCP_MC:
		return exit_machine_check(v);
	case VMEXIT_RDPMC:
		return handle_rdpmc(v);
	case VMEXIT_IRET:
		return handle_iret(v);
	case VMEXIT_INVD:
	case VMEXIT_WBINVD:
		return handle_cache_flush(v);
	case VMEXIT_SHUTDOWN:
		return handle_shutdown(v);
	case VMEXIT_INVLPGA:
	case VMEXIT_VMRUN:
	case VMEXIT_VMLOAD:
	case VMEXIT_VMSAVE:
	case VMEXIT_STGI:
	case VMEXIT_CLGI:
	case VMEXIT_SKINIT:
	case VMEXIT_MONITOR:
	case VMEXIT_MWAIT:
	case VMEXIT_MWAIT_CONDITIONAL:
	case VMEXIT_RDPRU:
		return handle_undefined(v);
	case VMEXIT_XSETBV:
		return handle_xsetbv(v);
	case VMEXIT_INVALID:
	case (u32)VMEXIT_INVALID: /* QEMU 10.0 */
		return handle_refusal(v);
	default:
		return handle_unexpected(v);
	}
}

static __noinline void handle_other(struct vcpu *v)
{
	if (likely(svm_vmcb(v)->exitcode == VMEXIT_NPF))
		handle_nested_fault(v);
	else
		handle_rare(v);
}

void svm_handle_exit(struct vcpu *v)
{
	const struct svm_vcpu *s = v->arch;

	if (unlikely(s->step.active))
		return handle_step(v);
	switch (s->vmcb->exitcode) {
	case VMEXIT_CPUID:
		return handle_cpuid(v);
	case VMEXIT_VMMCALL:
		return handle_hypercall(v);
	case VMEXIT_MSR:
		return handle_msr(v);
	case VMEXIT_IOIO:
		return handle_io(v);
	case VMEXIT_HLT:
		return handle_hlt(v);
	case VMEXIT_INTR:
	case VMEXIT_NMI:
	case VMEXIT_SMI:
	case VMEXIT_INIT:
		return handle_interrupt(v);
	default:
		return handle_other(v);
	}
}
