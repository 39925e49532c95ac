/* Dispatches SVM's exit codes to the common handlers. */
#include <kernel/guest/exit/svmexit.h>

#include <kernel/core/irq.h>
#include <kernel/core/log.h>
#include <kernel/guest/domain/domain.h>
#include <kernel/guest/exit/exit.h>
#include <kernel/guest/exit/exitio.h>
#include <kernel/guest/exit/exitmcheck.h>
#include <kernel/guest/quirks/emulator.h>
#include <kernel/guest/quirks/noassists.h>
#include <kernel/guest/vcpu/backend.h>
#include <kernel/guest/vcpu/svm/nmi.h>
#include <kernel/guest/vcpu/svm/state.h>
#include <kernel/guest/vcpu/svm/svm.h>
#include <kernel/guest/vcpu/svm/vmruncheck.h>
#include <kernel/x86/exceptions.h>

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

static void handle_msr(struct vcpu *v)
{
	if (svm_vmcb(v)->exitinfo1)
		exit_wrmsr(v);
	else
		exit_rdmsr(v);
}

static int cr_source(struct vcpu *v, unsigned int cr)
{
	if (svm_features.decode_assists)
		return (int)FIELD_GET(CR_WRITE_REGISTER, svm_vmcb(v)->exitinfo1);
	return noassists_cr_source(v, cr);
}

static void handle_cr4_write(struct vcpu *v)
{
	exit_write_cr4(v, cr_source(v, 4));
}

static void handle_cr8_write(struct vcpu *v)
{
	exit_write_cr8(v, cr_source(v, 8));
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

#define LAST_IN_TABLE VMEXIT_RDPRU

static void (*const handlers[LAST_IN_TABLE + 1])(struct vcpu *v) = {
	[VMEXIT_CR4_WRITE] = handle_cr4_write,
	[VMEXIT_CR8_WRITE] = handle_cr8_write,
	[VMEXIT_EXCP_DB] = handle_debug_exception,
	[VMEXIT_EXCP_AC] = handle_alignment_check,
	[VMEXIT_EXCP_MC] = exit_machine_check,
	[VMEXIT_INTR] = handle_interrupt,
	[VMEXIT_NMI] = handle_interrupt,
	[VMEXIT_SMI] = handle_interrupt,
	[VMEXIT_INIT] = handle_interrupt,
	[VMEXIT_RDPMC] = handle_rdpmc,
	[VMEXIT_CPUID] = exit_cpuid,
	[VMEXIT_IRET] = handle_iret,
	[VMEXIT_INVD] = exit_cache_flush,
	[VMEXIT_HLT] = exit_hlt,
	[VMEXIT_INVLPGA] = handle_undefined,
	[VMEXIT_IOIO] = handle_io,
	[VMEXIT_MSR] = handle_msr,
	[VMEXIT_SHUTDOWN] = handle_shutdown,
	[VMEXIT_VMRUN] = handle_undefined,
	[VMEXIT_VMMCALL] = exit_hypercall,
	[VMEXIT_VMLOAD] = handle_undefined,
	[VMEXIT_VMSAVE] = handle_undefined,
	[VMEXIT_STGI] = handle_undefined,
	[VMEXIT_CLGI] = handle_undefined,
	[VMEXIT_SKINIT] = handle_undefined,
	[VMEXIT_WBINVD] = exit_cache_flush,
	[VMEXIT_MONITOR] = handle_undefined,
	[VMEXIT_MWAIT] = handle_undefined,
	[VMEXIT_MWAIT_CONDITIONAL] = handle_undefined,
	[VMEXIT_XSETBV] = exit_xsetbv,
	[VMEXIT_RDPRU] = handle_undefined,
};

/* The few codes beyond the table. */
static __noinline void handle_other(struct vcpu *v)
{
	switch (svm_vmcb(v)->exitcode) {
	case VMEXIT_NPF:
		handle_nested_fault(v);
		return;
	case VMEXIT_INVALID:
	case (u32)VMEXIT_INVALID: /* QEMU 10.0 */
		handle_refusal(v);
		return;
	default:
		handle_unexpected(v);
	}
}

static __noinline void handle_step(struct vcpu *v)
{
	if (svm_nmi_after_exit(v))
		v->exits[WEIR_EXIT_OTHER]++;
	else
		svm_handle_exit(v);
}

void svm_handle_exit(struct vcpu *v)
{
	const struct svm_vcpu *s = v->arch;
	u64 code = s->vmcb->exitcode;

	if (unlikely(s->step.active))
		handle_step(v);
	else if (likely(code <= LAST_IN_TABLE && handlers[code]))
		handlers[code](v);
	else
		handle_other(v);
}
