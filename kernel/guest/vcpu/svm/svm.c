/* AMD SVM: CPUs made ready, vCPUs made, entered and left. APM volume 2, chapter 15. */
#include <kernel/guest/vcpu/svm/svm.h>

#include <kernel/mm/alloc.h>
#include <kernel/lib/atomic.h>
#include <kernel/core/cpu.h>
#include <kernel/lib/errno.h>
#include <kernel/guest/vcpu/exitring.h>
#include <kernel/guest/vcpu/entry.h>
#include <kernel/core/log.h>
#include <kernel/core/paging.h>
#include <kernel/core/panic.h>
#include <kernel/guest/vcpu/pveoi.h>
#include <kernel/lib/string.h>
#include <kernel/x86/control.h>
#include <kernel/x86/cpuid.h>
#include <kernel/x86/debug.h>
#include <kernel/x86/msr.h>
#include <kernel/x86/tsc.h>

#define CPUID_SVM 0x8000000a

/* What a CPU has of its own. */
struct svm_cpu {
	struct vmcb *host; /* the host's side of VMLOAD and VMSAVE */
	paddr_t save_area;
	u64 asid_generation;
	u32 next_asid, nr_asids;
};

static bool has_nrips;

static bool svm_supported(void)
{
	struct cpuid features;

	if (cpuid(0x80000000, 0).eax < CPUID_SVM || !(cpuid(0x80000001, 0).ecx & CPUID80000001_ECX_SVM))
		return false;
	if (rdmsr(MSR_VM_CR) & MSR_VM_CR_SVMDIS) {
		log_err("SVM is switched off by the firmware: enable virtualisation in its setup");
		return false;
	}
	features = cpuid(CPUID_SVM, 0);
	if (!(features.edx & CPUID8000000A_EDX_NP)) {
		log_err("this CPU has SVM without nested paging: guests cannot run");
		return false;
	}
	has_nrips = features.edx & CPUID8000000A_EDX_NRIPS;
	return true;
}

static void vmsave(paddr_t pa)
{
	__asm__ volatile("vmsave %0" ::"a"(pa) : "memory");
}

static int svm_cpu_init(void)
{
	struct svm_cpu *c = kzalloc(sizeof(*c));
	void *save = alloc_page();

	if (!c || !save)
		return -ENOMEM;
	c->host = alloc_page();
	if (!c->host || svm_maps_init())
		return -ENOMEM;
	npt_init();

	c->save_area = virt_to_phys(save);
	c->nr_asids = cpuid(CPUID_SVM, 0).ebx;
	c->asid_generation = 1;
	c->next_asid = 1;
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SVME);
	wrmsr(MSR_VM_HSAVE_PA, c->save_area);
	/* FS, GS, TR, LDTR and the system-call MSRs of this CPU never change from here on. */
	vmsave(virt_to_phys(c->host));
	this_cpu()->arch = c;
	exit_reason_name = svm_exit_name;
	return 0;
}

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

/* The state after INIT (table 14-1), but with caches on. */
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
	s->nmi_masked = false;
	s->asid_generation = 0;
}

static void svm_set_entry(struct vcpu *v, const struct guest_entry *entry)
{
	struct vmcb *c = ((struct svm_vcpu *)v->arch)->vmcb;

	reset_state(v);
	c->cr0 = CR0_PE | CR0_ET;
	set_segment(&c->cs, 0x08, 0xc9b, 0xffffffff, 0);
	set_data_segments(c, 0x10, 0xc93, 0xffffffff);
	v->rip = entry->eip;
	v->reg[RAX] = entry->eax;
	v->reg[RBX] = entry->ebx;
	v->reg[RSI] = entry->esi;
}

static void svm_set_sipi(struct vcpu *v, u8 vector)
{
	struct vmcb *c = ((struct svm_vcpu *)v->arch)->vmcb;

	reset_state(v);
	set_segment(&c->cs, (u16)(vector << 8), 0x9b, 0xffff, (u64)vector << 12);
	set_data_segments(c, 0, 0x93, 0xffff);
	v->rip = 0;
}

static int svm_create(struct vcpu *v)
{
	struct svm_vcpu *s = kzalloc(sizeof(*s));

	if (!s)
		return -ENOMEM;
	v->arch = s;
	s->vmcb = alloc_page();
	return s->vmcb ? 0 : -ENOMEM;
}

static void svm_reset(struct vcpu *v)
{
	struct vmcb *c = ((struct svm_vcpu *)v->arch)->vmcb;

	memset(c, 0, PAGE_SIZE);
	/* #DB and #AC are taken here since their delivery can loop for ever inside one instruction
	 * (CVE-2015-8104, CVE-2015-5307); a machine check is the machine's. */
	c->exceptions = 1u << 1 | 1u << 17 | 1u << 18;
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

static void svm_destroy(struct vcpu *v)
{
	struct svm_vcpu *s = v->arch;

	if (s && s->vmcb)
		free_page(s->vmcb);
	kfree(s);
	v->arch = NULL;
}

static void svm_load(struct vcpu *v)
{
	/* The ASID may have been another CPU's in an earlier life of this structure. */
	((struct svm_vcpu *)v->arch)->asid_generation = 0;
}

/* A fresh ASID has nothing in the TLB: that is how a vCPU's entries are flushed (15.16.1). When
 * they are used up, all are flushed once and the count starts again. */
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

/* The highest pending interrupt is put into V_IRQ (15.21.4): the guest takes it, without an exit, when its RFLAGS.IF lets it. Not by
 * EVENTINJ, which would need an exit to see IF; and QEMU 10.0 may deliver such an interrupt twice. Those of lower priority wait for
 * an EOI anyway. That no TPR keeps it away was just looked at, and a write of CR8 exits as long as it is offered. */
static void offer_interrupt(struct vcpu *v)
{
	struct svm_vcpu *s = v->arch;
	struct vmcb *c = s->vmcb;

	s->offered = vlapic_offer(v);
	c->vintr &= ~(u32)(VINTR_V_IRQ | VINTR_PRIO_MAX | VINTR_IGN_TPR);
	if (s->offered < 0)
		return;
	c->vintr |= VINTR_V_IRQ | VINTR_PRIO_MAX | VINTR_IGN_TPR;
	c->vintr_vector = (u8)s->offered;
}

/* What an exit interrupted or raised comes first, then an NMI. */
static void inject(struct vcpu *v)
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
	pveoi_before_entry(v, s->offered);
}

/* Once taken, V_IRQ is clear. */
static void settle_offer(struct vcpu *v)
{
	struct svm_vcpu *s = v->arch;
	bool taken = !(s->vmcb->vintr & VINTR_V_IRQ);

	if (s->offered >= 0)
		vlapic_settle(v, (u8)s->offered, taken);
	if (taken)
		s->offered = -1;
	pveoi_after_exit(v);
}

/* An exit in the middle of an event's delivery: deliver it again (15.7.2). A software interrupt is
 * its instruction again, and an interrupt that is still in V_IRQ comes from there. */
static void keep_interrupted_event(struct svm_vcpu *s)
{
	u64 event = s->vmcb->exitintinfo;

	if (!(event & EVENT_VALID) || FIELD_GET(EVENT_TYPE, event) == EVENT_TYPE_SOFT_INT ||
	    (int)FIELD_GET(EVENT_VECTOR, event) == s->offered)
		return;
	s->event = event;
}

static void svm_enter(struct vcpu *v)
{
	struct svm_cpu *cpu = this_cpu()->arch;
	struct svm_vcpu *s = v->arch;
	struct vmcb *c = s->vmcb;
	u64 generation;

	/* See kernel/guest/memory/shootdown.h: seen in guest mode, or entering with a flush. An interrupt that
	 * becomes pending after inject() looked finds in_guest set, and its IPI ends the entry at
	 * once. */
	write_once(&v->tlb.in_guest, true);
	smp_mb();
	generation = read_once(&v->vm->memory.nested.generation);
	if (v->tlb.generation != generation) {
		v->tlb.generation = generation;
		s->asid_generation = 0;
	}
	assign_asid(s);
	inject(v);
	/* With V_INTR_MASKING the guest's CR8 is V_TPR (15.21.2): no exit, unless a lower one would
	 * let an interrupt in; or while one is offered, when QEMU 10.0 fails an assertion of its own and ends. */
	c->vintr = (c->vintr & ~(u32)VINTR_V_TPR) | vlapic_cr8(v);
	c->cr_write = vlapic_held_by_tpr(v) || (c->vintr & VINTR_V_IRQ) ? CR_WRITE_CR8 : 0;
	c->rax = v->reg[RAX];
	c->rsp = v->reg[RSP];
	c->rip = v->rip;
	c->rflags = v->rflags;

	svm_world_switch(v->reg, virt_to_phys(c), virt_to_phys(cpu->host));

	store_release(&v->tlb.in_guest, false);
	v->reg[RAX] = c->rax;
	v->reg[RSP] = c->rsp;
	v->rip = c->rip;
	v->rflags = c->rflags;
	v->next_rip = has_nrips ? c->nrip : 0;
	vlapic_set_cr8(v, c->vintr & 0xf);
	settle_offer(v);
	keep_interrupted_event(s);
	exit_ring_record(v->vm->memory.owner, (u16)v->id, (u32)c->exitcode, v->rip, c->exitinfo1,
			 c->exitinfo2);
}

static void svm_mode(const struct vcpu *v, struct vcpu_mode *m)
{
	const struct vmcb *c = ((const struct svm_vcpu *)v->arch)->vmcb;

	*m = (struct vcpu_mode){
		.cr0 = c->cr0,
		.cr3 = c->cr3,
		.cr4 = c->cr4,
		.efer = c->efer,
		.cs_base = c->cs.base,
		.cs_long = c->cs.attrib & BIT(9),
		.cs_32 = c->cs.attrib & BIT(10),
		.cpl = c->cpl,
	};
}

static u64 svm_segment_base(const struct vcpu *v, enum guest_segment seg)
{
	const struct vmcb *c = ((const struct svm_vcpu *)v->arch)->vmcb;
	const struct vmcb_segment *const s[] = { &c->es, &c->cs, &c->ss, &c->ds, &c->fs, &c->gs };

	return s[seg]->base;
}

static void svm_inject(struct vcpu *v, u8 vector, s64 error)
{
	struct svm_vcpu *s = v->arch;

	s->event = EVENT_VALID | FIELD_PREP(EVENT_TYPE, EVENT_TYPE_EXCEPTION) | vector;
	if (error >= 0)
		s->event |= EVENT_ERROR_VALID | FIELD_PREP(EVENT_ERROR_CODE, (u64)error);
}

static void svm_set_rip(struct vcpu *v, u64 rip)
{
	struct vmcb *c = ((struct svm_vcpu *)v->arch)->vmcb;

	v->rip = rip;
	c->interrupt_shadow = 0;
	/* An instruction that was carried out here is single-stepped like any other. */
	if (v->rflags & RFLAGS_TF) {
		c->dr6 |= DR6_BS;
		svm_inject(v, 1, -1);
	}
}

static void svm_set_cr2(struct vcpu *v, u64 cr2)
{
	((struct svm_vcpu *)v->arch)->vmcb->cr2 = cr2;
}

static u64 svm_read_msr(const struct vcpu *v, u32 msr)
{
	const struct vmcb *c = ((const struct svm_vcpu *)v->arch)->vmcb;

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

static void svm_write_msr(struct vcpu *v, u32 msr, u64 value)
{
	struct svm_vcpu *s = v->arch;

	switch (msr) {
	case MSR_EFER:
		s->vmcb->efer = value | EFER_SVME;
		/* NX and LMA change what the guest's own tables mean. */
		s->asid_generation = 0;
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

static const struct vcpu_backend svm_backend = {
	.name = "AMD SVM",
	.supported = svm_supported,
	.cpu_init = svm_cpu_init,
	.create = svm_create,
	.destroy = svm_destroy,
	.reset = svm_reset,
	.set_entry = svm_set_entry,
	.set_sipi = svm_set_sipi,
	.load = svm_load,
	.enter = svm_enter,
	.mode = svm_mode,
	.segment_base = svm_segment_base,
	.set_rip = svm_set_rip,
	.inject = svm_inject,
	.set_cr2 = svm_set_cr2,
	.read_msr = svm_read_msr,
	.write_msr = svm_write_msr,
};

const struct vcpu_backend *vcpu_backend;

int vcpu_backend_init(void)
{
	int ret;

	if (!vcpu_backend) {
		if (!svm_supported())
			return -ENODEV;
		vcpu_backend = &svm_backend;
	}
	ret = exit_ring_init();
	if (!ret)
		ret = vcpu_backend->cpu_init();
	if (ret)
		log_err("CPU %u: no memory for %s: no guest runs on it", this_cpu()->id,
			vcpu_backend->name);
	return ret;
}
