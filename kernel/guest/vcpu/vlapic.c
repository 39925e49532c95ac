/* The registers of a virtual local APIC, by their x2APIC MSR numbers (SDM vol. 3, table 11-6). */
#include <kernel/guest/vcpu/vlapic.h>

#include <kernel/guest/vcpu/vcpu.h>
#include <kernel/guest/vcpu/vlapicdestination.h>
#include <kernel/guest/vcpu/vlapicipi.h>
#include <kernel/guest/vcpu/vlapicpending.h>
#include <kernel/guest/vcpu/vlapictimer.h>
#include <kernel/lib/errno.h>
#include <kernel/x86/apic.h>
#include <kernel/x86/msr.h>

#define VERSION (VLAPIC_VERSION | 0x00060000u) /* LVT entries 0 to 6 */
#define SVR_MASK 0x3ffu /* with focus processor checking, which nothing implements */

#define LVT_TIMER_BITS 0x700ffu
#define LVT_LINT_BITS 0x1a7ffu
#define LVT_OTHER_BITS 0x107ffu

bool vlapic_enabled(const struct vlapic *a)
{
	return (a->apic_base & APIC_BASE_ENABLE) && (a->svr & SVR_ENABLE);
}

static void reset_registers(struct vlapic *a)
{
	for (int i = 0; i < 8; i++) {
		a->isr[i] = 0;
		write_once(&a->irr[i], 0);
		write_once(&a->tmr[i], 0);
	}
	a->tpr = a->esr = a->esr_pending = 0;
	a->svr = 0xff;
	a->icr = 0;
	a->ldr = 0;
	a->dfr = ~0u;
	a->lvt_cmci = a->lvt_timer = a->lvt_thermal = VLAPIC_LVT_MASKED;
	a->lvt_perf = a->lvt_error = VLAPIC_LVT_MASKED;
	a->lvt_lint[0] = a->lvt_lint[1] = VLAPIC_LVT_MASKED;
	a->timer_initial = a->timer_divide = 0;
	a->timer_lapsed = false;
	a->tsc_deadline = a->pv_eoi = 0;
	a->pv_eoi_set = false;
}

void vlapic_init(struct vcpu *v)
{
	struct vlapic *a = &v->lapic;

	vlapic_timer_init(a);
	reset_registers(a);
	a->apic_base = APIC_DEFAULT_ADDRESS | APIC_BASE_ENABLE | (v->id ? 0 : APIC_BASE_BSP);
}

void vlapic_start_in_x2apic_mode(struct vcpu *v)
{
	v->lapic.apic_base |= APIC_BASE_EXTD;
}

void vlapic_start_as_virtual_wire(struct vcpu *v)
{
	v->lapic.svr |= SVR_ENABLE;
	v->lapic.lvt_lint[0] = (u32)FIELD_PREP(LVT_MODE, DELIVERY_EXTINT);
}

void vlapic_reset(struct vcpu *v)
{
	timer_cancel(&v->lapic.timer);
	reset_registers(&v->lapic);
}

static int write_apic_base(struct vcpu *v, u64 value)
{
	struct vlapic *a = &v->lapic;
	u64 modes = APIC_BASE_ENABLE | APIC_BASE_EXTD;

	/* 11.12.5: EXTD without ENABLE is invalid, x2APIC mode can be left only by disabling the
	 * APIC, and a disabled APIC cannot enter x2APIC mode directly. */
	if ((value & ~(modes | APIC_BASE_BSP)) != APIC_DEFAULT_ADDRESS ||
	    (value & modes) == APIC_BASE_EXTD ||
	    ((a->apic_base & modes) == modes && (value & modes) == APIC_BASE_ENABLE) ||
	    (!(a->apic_base & APIC_BASE_ENABLE) && (value & modes) == modes))
		return -EINVAL;
	if ((a->apic_base & APIC_BASE_ENABLE) && !(value & APIC_BASE_ENABLE))
		vlapic_reset(v);
	a->apic_base = (value & modes) | APIC_DEFAULT_ADDRESS | (a->apic_base & APIC_BASE_BSP);
	return 0;
}

static u32 *lvt(struct vlapic *a, u32 reg, u32 *writable)
{
	*writable = LVT_OTHER_BITS;
	switch (reg) {
	case APIC_LVT_CMCI:
		return &a->lvt_cmci;
	case APIC_LVT_TIMER:
		*writable = LVT_TIMER_BITS;
		return &a->lvt_timer;
	case APIC_LVT_THERMAL:
		return &a->lvt_thermal;
	case APIC_LVT_PERF:
		return &a->lvt_perf;
	case APIC_LVT_LINT0:
	case APIC_LVT_LINT1:
		*writable = LVT_LINT_BITS;
		return &a->lvt_lint[reg - APIC_LVT_LINT0];
	case APIC_LVT_ERROR:
		return &a->lvt_error;
	default:
		return NULL;
	}
}

int vlapic_read_register(struct vcpu *v, u32 reg, u64 *value)
{
	struct vlapic *a = &v->lapic;
	u32 writable, *entry;

	entry = lvt(a, reg, &writable);
	if (entry) {
		*value = *entry;
		return 0;
	}
	if (reg >= APIC_ISR && reg < APIC_ISR + 8) {
		*value = a->isr[reg - APIC_ISR];
		return 0;
	}
	if (reg >= APIC_TMR && reg < APIC_TMR + 8) {
		*value = read_once(&a->tmr[reg - APIC_TMR]);
		return 0;
	}
	if (reg >= APIC_IRR && reg < APIC_IRR + 8) {
		*value = read_once(&a->irr[reg - APIC_IRR]);
		return 0;
	}
	switch (reg) {
	case APIC_ID:
		*value = v->id;
		return 0;
	case APIC_VERSION:
		*value = VERSION;
		return 0;
	case APIC_TPR:
		*value = a->tpr;
		return 0;
	case APIC_PPR:
		*value = vlapic_ppr(a);
		return 0;
	case APIC_LDR:
		*value = vlapic_logical_id(v->id);
		return 0;
	case APIC_SVR:
		*value = a->svr;
		return 0;
	case APIC_ESR:
		*value = a->esr;
		return 0;
	case APIC_ICR:
		*value = a->icr;
		return 0;
	case APIC_TIMER_INITIAL:
		*value = a->timer_initial;
		return 0;
	case APIC_TIMER_CURRENT:
		*value = vlapic_timer_count(a);
		return 0;
	case APIC_TIMER_DIVIDE:
		*value = a->timer_divide;
		return 0;
	}
	return -EINVAL;
}

static u64 read_other_msr(const struct vlapic *a, u32 msr)
{
	if (msr == MSR_APIC_BASE)
		return a->apic_base;
	return vlapic_timer_mode(a) == VLAPIC_TSC_DEADLINE ? a->tsc_deadline : 0;
}

int vlapic_read_msr(struct vcpu *v, u32 msr, u64 *value)
{
	if (unlikely(msr < MSR_X2APIC)) {
		*value = read_other_msr(&v->lapic, msr);
		return 0;
	}
	if (!(v->lapic.apic_base & APIC_BASE_EXTD))
		return -EINVAL;
	return vlapic_read_register(v, msr - MSR_X2APIC, value);
}

static int write_lvt(struct vlapic *a, u32 reg, u32 *entry, u32 writable, u64 value)
{
	enum vlapic_timer_mode old_mode = vlapic_timer_mode(a), new_mode;

	if (value & ~(u64)writable)
		return -EINVAL;
	if (!(a->svr & SVR_ENABLE))
		value |= VLAPIC_LVT_MASKED;
	*entry = (u32)value;
	new_mode = vlapic_timer_mode(a);
	if (reg == APIC_LVT_TIMER && new_mode != old_mode) {
		/* 11.5.4.1: a change to or from deadline mode disarms the timer. */
		a->tsc_deadline = 0;
		if (new_mode == VLAPIC_TSC_DEADLINE || old_mode == VLAPIC_TSC_DEADLINE) {
			a->timer_initial = 0;
			a->timer_lapsed = false;
			timer_cancel(&a->timer);
		}
	}
	return 0;
}

static void write_svr(struct vlapic *a, u32 value)
{
	a->svr = value;
	if (value & SVR_ENABLE)
		return;
	/* 11.4.7.2: while the APIC is software-disabled, all LVT entries are masked. */
	a->lvt_cmci |= VLAPIC_LVT_MASKED;
	a->lvt_timer |= VLAPIC_LVT_MASKED;
	a->lvt_thermal |= VLAPIC_LVT_MASKED;
	a->lvt_perf |= VLAPIC_LVT_MASKED;
	a->lvt_lint[0] |= VLAPIC_LVT_MASKED;
	a->lvt_lint[1] |= VLAPIC_LVT_MASKED;
	a->lvt_error |= VLAPIC_LVT_MASKED;
}

u32 vlapic_writable(struct vlapic *a, u32 reg)
{
	u32 writable;

	if (lvt(a, reg, &writable))
		return writable;
	return reg == APIC_TPR		? 0xff :
	       reg == APIC_SVR		? SVR_MASK :
	       reg == APIC_TIMER_DIVIDE ? 0xb :
					  ~0u;
}

static __noinline int write_other_msr(struct vcpu *v, u32 msr, u64 value)
{
	if (msr == MSR_APIC_BASE)
		return write_apic_base(v, value);
	if (vlapic_timer_mode(&v->lapic) == VLAPIC_TSC_DEADLINE)
		vlapic_timer_set_deadline(v, value);
	return 0;
}

int vlapic_write_msr(struct vcpu *v, u32 msr, u64 value)
{
	u32 reg = msr - MSR_X2APIC;

	if (unlikely(msr < MSR_X2APIC))
		return write_other_msr(v, msr, value);
	if (!(v->lapic.apic_base & APIC_BASE_EXTD) || (value >> 32 && reg != APIC_ICR))
		return -EINVAL;
	return vlapic_write_register(v, reg, value);
}

static __noinline int write_other_register(struct vcpu *v, u32 reg, u64 value)
{
	struct vlapic *a = &v->lapic;
	u32 writable, *entry;

	entry = lvt(a, reg, &writable);
	if (entry)
		return write_lvt(a, reg, entry, writable, value);
	switch (reg) {
	case APIC_SVR:
		if (value & ~(u64)SVR_MASK)
			return -EINVAL;
		write_svr(a, (u32)value);
		return 0;
	case APIC_ESR:
		if (value)
			return -EINVAL;
		a->esr = a->esr_pending;
		a->esr_pending = 0;
		return 0;
	case APIC_ICR:
		return vlapic_write_icr(v, value);
	case APIC_TIMER_INITIAL:
		if (vlapic_timer_mode(a) == VLAPIC_TSC_DEADLINE)
			return 0;
		a->timer_initial = (u32)value;
		vlapic_timer_start(a);
		return 0;
	case APIC_TIMER_DIVIDE:
		if (value & ~0xbUL)
			return -EINVAL;
		vlapic_timer_set_divide(a, (u32)value);
		return 0;
	case APIC_SELF_IPI:
		return vlapic_write_self_ipi(v, value);
	}
	return -EINVAL;
}

/* What is written most often comes first. */
int vlapic_write_register(struct vcpu *v, u32 reg, u64 value)
{
	if (reg == APIC_EOI) {
		if (value)
			return -EINVAL;
		vlapic_end_of_interrupt(v);
		return 0;
	}
	if (reg == APIC_TPR) {
		if (value > 0xff)
			return -EINVAL;
		v->lapic.tpr = (u32)value;
		return 0;
	}
	return write_other_register(v, reg, value);
}
