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

static void handle_io(struct vcpu *v, const struct vmcb *c)
{
	struct string_io io;

	if (!(c->exitinfo1 & IOIO_STR)) {
		exit_io(v, (u16)FIELD_GET(IOIO_PORT, c->exitinfo1),
			(u8)FIELD_GET(IOIO_SIZE, c->exitinfo1), c->exitinfo1 & IOIO_IN,
			c->exitinfo2);
		return;
	}
	io = (struct string_io){
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

static int cr_source(struct vcpu *v, const struct vmcb *c, unsigned int cr)
{
	if (svm_features.decode_assists)
		return (int)FIELD_GET(CR_WRITE_REGISTER, c->exitinfo1);
	return noassists_cr_source(v, cr);
}

static void handle_nested_fault(struct vcpu *v, const struct vmcb *c)
{
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

static void refused(struct vcpu *v, const struct vmcb *c)
{
	const char *why = svm_why_refused(c);

	if (!why)
		why = emulator_refused_state();
	exit_log_state(v);
	domain_crash(vcpu_domain(v), "vCPU %u: the processor refuses its state at RIP 0x%lx: %s",
		     v->id, v->rip, why ? why : "no rule that Weir knows is broken");
}

void svm_handle_exit(struct vcpu *v)
{
	struct svm_vcpu *s = v->arch;
	struct vmcb *c = s->vmcb;

	if (svm_nmi_after_exit(v)) {
		v->exits[WEIR_EXIT_OTHER]++;
		return;
	}
	switch (c->exitcode) {
	case VMEXIT_INTR:
	case VMEXIT_NMI:
	case VMEXIT_SMI:
	case VMEXIT_INIT:
		v->exits[WEIR_EXIT_INTERRUPT]++;
		irq_window();
		return;
	case VMEXIT_IRET:
		v->exits[WEIR_EXIT_OTHER]++;
		svm_nmi_iret(v);
		return;
	case VMEXIT_CPUID:
		exit_cpuid(v);
		return;
	case VMEXIT_CR4_WRITE:
		exit_write_cr4(v, cr_source(v, c, 4));
		return;
	case VMEXIT_CR8_WRITE:
		exit_write_cr8(v, cr_source(v, c, 8));
		return;
	case VMEXIT_MSR:
		if (c->exitinfo1)
			exit_wrmsr(v);
		else
			exit_rdmsr(v);
		return;
	case VMEXIT_IOIO:
		handle_io(v, c);
		return;
	case VMEXIT_NPF:
		handle_nested_fault(v, c);
		return;
	case VMEXIT_HLT:
		exit_hlt(v);
		return;
	case VMEXIT_VMMCALL:
		exit_hypercall(v);
		return;
	case VMEXIT_XSETBV:
		exit_xsetbv(v);
		return;
	case VMEXIT_INVD:
	case VMEXIT_WBINVD:
		exit_cache_flush(v);
		return;
	case VMEXIT_RDPMC:
		v->exits[WEIR_EXIT_OTHER]++;
		inject_gp(v);
		return;
	case VMEXIT_EXCP_DB:
		v->exits[WEIR_EXIT_OTHER]++;
		vcpu_backend->inject(v, EXC_DB, -1);
		return;
	case VMEXIT_EXCP_AC:
		v->exits[WEIR_EXIT_OTHER]++;
		vcpu_backend->inject(v, EXC_AC, 0);
		return;
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
		v->exits[WEIR_EXIT_OTHER]++;
		inject_ud(v);
		return;
	case VMEXIT_SHUTDOWN:
		exit_log_state(v);
		domain_fault(vcpu_domain(v), v->id, "triple fault", v->rip);
		return;
	case VMEXIT_EXCP_MC:
		exit_machine_check(v);
		return;
	case VMEXIT_INVALID:
	case (u32)VMEXIT_INVALID: /* QEMU 10.0 */
		refused(v, c);
		return;
	default:
		exit_log_state(v);
		domain_crash(vcpu_domain(v), "vCPU %u: exit 0x%lx (info 0x%lx, 0x%lx) at RIP 0x%lx",
			     v->id, c->exitcode, c->exitinfo1, c->exitinfo2, v->rip);
	}
}
