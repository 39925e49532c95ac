/* The MSR policy. An access to an MSR that is not in the table raises #GP and is counted. The MSRs
 * that the guest may access without an exit (the system-call and segment-base MSRs) never get
 * here. */
#include <kernel/guest/vcpu/msr.h>

#include <kernel/abi/kvm.h>
#include <kernel/core/log.h>
#include <kernel/guest/vcpu/backend.h>
#include <kernel/guest/vcpu/cpuid.h>
#include <kernel/guest/vcpu/kvmclock.h>
#include <kernel/guest/vcpu/pveoi.h>
#include <kernel/guest/vcpu/vcpu.h>
#include <kernel/lib/errno.h>
#include <kernel/x86/control.h>
#include <kernel/x86/msr.h>

enum action {
	DENY, /* #GP */
	FIXED, /* reads as `value`; writes are dropped */
	APIC, /* kernel/guest/vcpu/vlapic.c */
	KVM, /* kernel/guest/vcpu/kvmclock.c */
	PV_EOI, /* kernel/guest/vcpu/pveoi.c */
	OWN, /* read_own(), write_own() below */
};

struct msr_policy {
	u32 first, last;
	enum action action;
	u64 value;
};

static const struct msr_policy msrs[] = {
	{ MSR_TSC, MSR_TSC, OWN, 0 },
	{ MSR_KVM_WALL_CLOCK, MSR_KVM_SYSTEM_TIME, KVM, 0 },
	{ MSR_PLATFORM_ID, MSR_PLATFORM_ID, FIXED, 0 },
	{ MSR_APIC_BASE, MSR_APIC_BASE, APIC, 0 },
	{ MSR_FEATURE_CONTROL, MSR_FEATURE_CONTROL, DENY, 0 }, /* no VMX */
	{ MSR_BIOS_SIGN_ID, MSR_BIOS_SIGN_ID, FIXED, 0 },
	{ MSR_MTRRCAP, MSR_MTRRCAP, FIXED, 0 }, /* there are none, as CPUID says */
	{ MSR_MCG_CAP, MSR_MCG_STATUS, FIXED, 0 }, /* no banks */
	{ MSR_MISC_ENABLE, MSR_MISC_ENABLE, FIXED, MSR_MISC_ENABLE_FAST_STRINGS },
	{ MSR_DEBUGCTL, MSR_DEBUGCTL, FIXED, 0 },
	{ MSR_PAT, MSR_PAT, OWN, 0 },
	/* All memory is write-back, as RAM is on a PC. Xen reads it without asking. */
	{ MSR_MTRR_DEF_TYPE, MSR_MTRR_DEF_TYPE, FIXED, MTRR_DEF_TYPE_E | MTRR_DEF_TYPE_WB },
	{ MSR_KVM_WALL_CLOCK_NEW, MSR_KVM_SYSTEM_TIME_NEW, KVM, 0 },
	{ MSR_KVM_PV_EOI_EN, MSR_KVM_PV_EOI_EN, PV_EOI, 0 },
	{ MSR_EFER, MSR_EFER, OWN, 0 },
	{ MSR_TSC_AUX, MSR_TSC_AUX, OWN, 0 },
	/* Of a K7. There are none, but kernels set them to 0 without asking. */
	{ MSR_PERF_EVTSEL0, MSR_PERF_CTR3, FIXED, 0 },
	{ MSR_SYSCFG, MSR_SYSCFG, FIXED, 0 },
	{ MSR_HWCR, MSR_HWCR, FIXED, MSR_HWCR_TSC_FREQ_SEL },
	{ MSR_NB_CFG, MSR_NB_CFG, FIXED, 0 },
	{ MSR_INT_PENDING, MSR_INT_PENDING, FIXED, 0 },
	{ MSR_VM_CR, MSR_VM_CR, FIXED, MSR_VM_CR_SVMDIS | MSR_VM_CR_LOCK },
	{ MSR_ERRATA_FIRST, MSR_ERRATA_LAST, FIXED, 0 },
};

/* Most accesses are to these. */
static bool is_apic_register(u32 msr)
{
	return msr - MSR_X2APIC <= MSR_X2APIC_LAST - MSR_X2APIC || msr == MSR_TSC_DEADLINE;
}

static const struct msr_policy *find(u32 msr)
{
	static const struct msr_policy apic = { MSR_X2APIC, MSR_X2APIC_LAST, APIC, 0 };

	if (is_apic_register(msr))
		return &apic;
	for (unsigned int i = 0; i < ARRAY_SIZE(msrs); i++)
		if (msr >= msrs[i].first && msr <= msrs[i].last)
			return &msrs[i];
	return NULL;
}

static int write_efer(struct vcpu *v, u64 value)
{
	u64 old = vcpu_backend->read_msr(v, MSR_EFER), changed = value ^ old;
	u64 writable = policy_efer();
	struct vcpu_mode m;

	vcpu_backend->mode(v, &m);
	if ((value & ~(writable | EFER_LMA)) || ((m.cr0 & CR0_PG) && (changed & EFER_LME)))
		return -EINVAL;
	vcpu_backend->write_msr(v, MSR_EFER, (value & writable) | (old & EFER_LMA));
	return 0;
}

static int write_pat(struct vcpu *v, u64 value)
{
	/* SDM vol. 3, 12.12.2: types 2 and 3 and the upper bits are reserved. */
	for (unsigned int i = 0; i < 8; i++) {
		u8 type = (u8)(value >> 8 * i);

		if (type > 7 || type == 2 || type == 3)
			return -EINVAL;
	}
	vcpu_backend->write_msr(v, MSR_PAT, value);
	return 0;
}

static int refuse(struct vcpu *v, u32 msr)
{
	static struct log_limit limit = LOG_LIMIT_INIT(20);

	v->absent_msrs++;
	if (!find(msr) && log_shows(LOG_DEBUG) && log_allowed(&limit))
		log_debug("domain %s: vCPU %u: unknown MSR 0x%x: #GP", v->vm->memory.name, v->id,
			  msr);
	return -EINVAL;
}

static int read_own(struct vcpu *v, u32 msr, u64 *value)
{
	if (msr == MSR_TSC_AUX && !policy_has_tsc_aux())
		return refuse(v, msr);
	*value = msr == MSR_TSC_AUX ? v->tsc_aux : vcpu_backend->read_msr(v, msr);
	return 0;
}

static int write_own(struct vcpu *v, u32 msr, u64 value)
{
	switch (msr) {
	case MSR_EFER:
		return write_efer(v, value);
	case MSR_PAT:
		return write_pat(v, value);
	case MSR_TSC_AUX:
		if (!policy_has_tsc_aux())
			return refuse(v, msr);
		if (value >> 32)
			return -EINVAL;
		v->tsc_aux = value;
		wrmsr(MSR_TSC_AUX, value);
		return 0;
	default:
		vcpu_backend->write_msr(v, MSR_TSC, value);
		kvmclock_update(v);
		return 0;
	}
}

static __noinline int read_other(struct vcpu *v, u32 msr, u64 *value)
{
	const struct msr_policy *p = find(msr);

	switch (p ? p->action : DENY) {
	case FIXED:
		*value = p->value;
		return 0;
	case APIC:
		return vlapic_read_msr(v, msr, value);
	case OWN:
		return read_own(v, msr, value);
	case KVM:
		*value = kvmclock_read_msr(v, msr);
		return 0;
	case PV_EOI:
		*value = v->lapic.pv_eoi;
		return 0;
	default:
		return refuse(v, msr);
	}
}

int policy_rdmsr(struct vcpu *v, u32 msr, u64 *value)
{
	return likely(is_apic_register(msr)) ? vlapic_read_msr(v, msr, value) :
					       read_other(v, msr, value);
}

static __noinline int write_other(struct vcpu *v, u32 msr, u64 value)
{
	const struct msr_policy *p = find(msr);

	switch (p ? p->action : DENY) {
	case FIXED:
		return 0;
	case APIC:
		return vlapic_write_msr(v, msr, value);
	case OWN:
		return write_own(v, msr, value);
	case KVM:
		return kvmclock_write_msr(v, msr, value);
	case PV_EOI:
		return pveoi_write_msr(v, value);
	default:
		return refuse(v, msr);
	}
}

int policy_wrmsr(struct vcpu *v, u32 msr, u64 value)
{
	return likely(is_apic_register(msr)) ? vlapic_write_msr(v, msr, value) :
					       write_other(v, msr, value);
}
