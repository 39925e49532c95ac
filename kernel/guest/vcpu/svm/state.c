/* The state of a vCPU in its VMCB: creates, resets, reads and changes it between exit and entry. */
#include <kernel/guest/vcpu/svm/state.h>

#include <kernel/core/cpu.h>
#include <kernel/core/panic.h>
#include <kernel/guest/vcpu/entry.h>
#include <kernel/guest/vcpu/svm/asid.h>
#include <kernel/guest/vcpu/svm/maps.h>
#include <kernel/guest/vcpu/svm/nmi.h>
#include <kernel/lib/errno.h>
#include <kernel/lib/string.h>
#include <kernel/mm/alloc.h>
#include <kernel/x86/control.h>
#include <kernel/x86/debug.h>
#include <kernel/x86/exceptions.h>
#include <kernel/x86/msr.h>
#include <kernel/x86/tsc.h>

static void set_segment(struct vmcb_segment *s, u16 selector, u16 attrib, u32 limit, u64 base)
{
	*s = (struct vmcb_segment){ selector, attrib, limit, base };
}

static void set_data_segments(struct vmcb *c, u16 selector, u16 attrib, u32 limit)
{
	set_segment(&c->ds, selector, attrib, limit, 0);
	set_segment(&c->es, selector, attrib, limit, 0);
	set_segment(&c->ss, selector, attrib, limit, 0);
	set_segment(&c->fs, selector, attrib, limit, 0);
	set_segment(&c->gs, selector, attrib, limit, 0);
}

static void flush_asid(struct vcpu *v)
{
	write_once(&v->attention, true);
	svm_flush_asid(v->arch);
}

/* The state after INIT (APM volume 2, table 14-1), but with caches enabled. */
static void reset_state(struct vcpu *v)
{
	struct svm_vcpu *s = v->arch;
	struct vmcb *c = s->vmcb;

	for (unsigned int i = 0; i < ARRAY_SIZE(v->reg); i++)
		v->reg[i] = 0;
	v->rflags = RFLAGS_RESERVED;
	c->cr0 = CR0_ET;
	c->cr2 = c->cr3 = c->cr4 = 0;
	c->efer = EFER_SVME;
	c->dr6 = DR6_RESET;
	c->dr7 = DR7_RESET;
	c->g_pat = PAT_RESET;
	c->cpl = 0;
	c->interrupt_shadow = 0;
	set_segment(&c->gdtr, 0, 0, 0xffff, 0);
	set_segment(&c->idtr, 0, 0, 0xffff, 0);
	set_segment(&c->ldtr, 0, 0x82, 0xffff, 0);
	set_segment(&c->tr, 0, 0x8b, 0xffff, 0);
	s->event = 0;
	svm_nmi_reset(v);
	flush_asid(v);
}

void svm_set_entry(struct vcpu *v, const struct guest_entry *entry)
{
	struct vmcb *c = svm_vmcb(v);

	reset_state(v);
	c->cr0 = CR0_PE | CR0_ET;
	set_segment(&c->cs, 0x08, 0xc9b, 0xffffffff, 0);
	set_data_segments(c, 0x10, 0xc93, 0xffffffff);
	v->rip = entry->eip;
	v->reg[RAX] = entry->eax;
	v->reg[RBX] = entry->ebx;
	v->reg[RSI] = entry->esi;
}

void svm_set_sipi(struct vcpu *v, u8 vector)
{
	struct vmcb *c = svm_vmcb(v);

	reset_state(v);
	set_segment(&c->cs, (u16)(vector << 8), 0x9b, 0xffff, (u64)vector << 12);
	set_data_segments(c, 0, 0x93, 0xffff);
	v->rip = 0;
}

int svm_create(struct vcpu *v)
{
	struct svm_vcpu *s = kzalloc(sizeof(*s));

	if (!s)
		return -ENOMEM;
	v->arch = s;
	s->vmcb = alloc_page();
	return s->vmcb ? 0 : -ENOMEM;
}

void svm_reset(struct vcpu *v)
{
	struct vmcb *c = svm_vmcb(v);

	memset(c, 0, PAGE_SIZE);
	c->exceptions = INTERCEPTED_EXCEPTIONS;
	c->intercept_1 = INTERCEPT_INTR | INTERCEPT_NMI | INTERCEPT_SMI | INTERCEPT_INIT |
			 INTERCEPT_RDPMC | INTERCEPT_CPUID | INTERCEPT_INVD | INTERCEPT_HLT |
			 INTERCEPT_INVLPGA | INTERCEPT_IOIO_PROT | INTERCEPT_MSR_PROT |
			 INTERCEPT_FERR_FREEZE | INTERCEPT_SHUTDOWN;
	c->intercept_2 = INTERCEPT_VMRUN | INTERCEPT_VMMCALL | INTERCEPT_VMLOAD | INTERCEPT_VMSAVE |
			 INTERCEPT_STGI | INTERCEPT_CLGI | INTERCEPT_SKINIT | INTERCEPT_WBINVD |
			 INTERCEPT_MONITOR | INTERCEPT_MWAIT | INTERCEPT_MWAIT_ARMED |
			 INTERCEPT_XSETBV | INTERCEPT_RDPRU;
	c->iopm_base_pa = svm_iopm();
	c->msrpm_base_pa = svm_msrpm();
	c->vintr = VINTR_MASKING;
	c->np_enable = 1;
	c->n_cr3 = v->vm->memory.nested.root;
	reset_state(v);
}

void svm_destroy(struct vcpu *v)
{
	struct svm_vcpu *s = v->arch;

	if (s && s->vmcb)
		free_page(s->vmcb);
	kfree(s);
	v->arch = NULL;
}

void svm_mode(const struct vcpu *v, struct vcpu_mode *m)
{
	const struct vmcb *c = svm_vmcb(v);

	*m = (struct vcpu_mode){
		.cr0 = c->cr0,
		.cr3 = c->cr3,
		.cr4 = c->cr4,
		.efer = c->efer,
		.cs_base = c->cs.base,
		.cs_long = c->cs.attrib & SEGMENT_L,
		.cs_32 = c->cs.attrib & SEGMENT_D,
		.ss_32 = c->ss.attrib & SEGMENT_D,
		.cpl = c->cpl,
	};
}

u64 svm_segment_base(const struct vcpu *v, enum guest_segment seg)
{
	const struct vmcb *c = svm_vmcb(v);
	const struct vmcb_segment *const s[] = { &c->es, &c->cs, &c->ss, &c->ds, &c->fs, &c->gs };

	return s[seg]->base;
}

void svm_inject(struct vcpu *v, u8 vector, s64 error)
{
	struct svm_vcpu *s = v->arch;

	v->attention = true;
	/* APM vol. 2, 3.1.6 and 13.1.3.5: what the processor does when it raises one itself. */
	if (exception_is_fault(vector))
		v->rflags |= RFLAGS_RF;
	if (vector == EXC_DB)
		s->vmcb->dr7 &= ~DR7_GD;
	s->event = EVENT_VALID | FIELD_PREP(EVENT_TYPE, EVENT_TYPE_EXCEPTION) | vector;
	/* No exception has an error code in real mode (APM vol. 2, 8.2). */
	if (error >= 0 && (s->vmcb->cr0 & CR0_PE))
		s->event |= EVENT_ERROR_VALID | FIELD_PREP(EVENT_ERROR_CODE, (u64)error);
}

bool svm_has_breakpoints(const struct vcpu *v)
{
	return svm_vmcb(v)->dr7 & DR7_ANY_ENABLED;
}

static void raise_debug_trap(struct vcpu *v, u64 causes)
{
	svm_vmcb(v)->dr6 |= causes;
	svm_inject(v, EXC_DB, -1);
}

void svm_accessed(struct vcpu *v, enum access_kind kind, u64 address, unsigned int size)
{
	const u64 dr[4] = { read_dr(0), read_dr(1), read_dr(2), read_dr(3) };
	const struct vmcb *c = svm_vmcb(v);
	u64 met;

	if (kind == ACCESS_PORT && !(c->cr4 & CR4_DE))
		return;
	met = breakpoints_met(c->dr7, dr, kind, address, size);
	if (met)
		raise_debug_trap(v, met);
}

static __noinline bool set_rip_with_traps(struct vcpu *v, u64 rip)
{
	/* RF is for one instruction, with all repetitions (APM vol. 2, 3.1.6). */
	v->rflags = rip == v->rip ? v->rflags | RFLAGS_RF : v->rflags & ~RFLAGS_RF;
	v->rip = rip;
	/* An instruction that Weir has executed is single-stepped like any other. */
	if (v->rflags & RFLAGS_TF)
		raise_debug_trap(v, DR6_BS);
	return svm_has_breakpoints(v);
}

bool svm_set_rip(struct vcpu *v, u64 rip)
{
	return !svm_set_rip_without_traps(v, rip) && set_rip_with_traps(v, rip);
}

void svm_finish_port(struct vcpu *v, u64 rip, u32 port, u32 size)
{
	if (set_rip_with_traps(v, rip))
		svm_accessed(v, ACCESS_PORT, port, size);
}

void svm_set_cr2(struct vcpu *v, u64 cr2)
{
	svm_vmcb(v)->cr2 = cr2;
}

void svm_write_cr4(struct vcpu *v, u64 cr4)
{
	struct svm_vcpu *s = v->arch;
	u64 changed = s->vmcb->cr4 ^ cr4;

	s->vmcb->cr4 = cr4;
	/* SDM vol. 3, 4.10.4.1. Guests toggle PGE to flush global pages too. */
	if (changed & (CR4_PSE | CR4_PAE | CR4_PGE | CR4_SMEP | CR4_SMAP))
		flush_asid(v);
}

u64 svm_read_msr(const struct vcpu *v, u32 msr)
{
	const struct vmcb *c = svm_vmcb(v);

	switch (msr) {
	case MSR_EFER:
		return c->efer & ~EFER_SVME;
	case MSR_PAT:
		return c->g_pat;
	case MSR_TSC:
		return rdtsc() + c->tsc_offset;
	}
	BUG();
}

void svm_write_msr(struct vcpu *v, u32 msr, u64 value)
{
	struct svm_vcpu *s = v->arch;

	switch (msr) {
	case MSR_EFER:
		s->vmcb->efer = value | EFER_SVME;
		/* NXE and LMA change the meaning of the guest's own tables, so flush. */
		flush_asid(v);
		return;
	case MSR_PAT:
		s->vmcb->g_pat = value;
		return;
	case MSR_TSC:
		s->vmcb->tsc_offset = value - rdtsc();
		return;
	}
	BUG();
}

u64 svm_tsc_offset(const struct vcpu *v)
{
	return svm_vmcb(v)->tsc_offset;
}
