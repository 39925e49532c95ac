/* The virtual local APIC. Registers by their x2APIC MSR numbers (SDM vol. 3, table 11-6). */
#include <kernel/guest/vcpu/vlapic.h>

#include <kernel/lib/errno.h>
#include <kernel/guest/vcpu/vcpu.h>
#include <kernel/x86/apic.h>

#define VERSION 0x00060015u /* integrated, LVT entries 0 to 6 */
#define SVR_MASK 0x1ffu

#define LVT_TIMER_BITS 0x700ffu
#define LVT_LINT_BITS 0x1a7ffu
#define LVT_OTHER_BITS 0x107ffu
#define ICR_WRITABLE (ICR_DESTINATION | 0xccfffUL)
#define BROADCAST 0xffffffffu

/* A periodic timer faster than this would leave the guest no time for anything else. */
#define MIN_PERIOD_NS 20000UL

static void timer_fired(struct timer *t);

static int highest(const u32 *bits)
{
	for (int i = 7; i >= 0; i--) {
		u32 w = read_once(&bits[i]);

		if (w)
			return 32 * i + 31 - __builtin_clz(w);
	}
	return -1;
}

static void set_bit(u32 *bits, u8 vector)
{
	(void)atomic_or(&bits[vector / 32], 1u << vector % 32);
}

static void clear_bit(u32 *bits, u8 vector)
{
	(void)atomic_and(&bits[vector / 32], ~(1u << vector % 32));
}

static bool enabled(const struct vlapic *a)
{
	return (a->apic_base & APIC_BASE_ENABLE) && (a->svr & SVR_ENABLE);
}

/* SDM vol. 3, 11.8.3.1: the processor priority. */
static u32 ppr(const struct vlapic *a)
{
	int in_service = highest(a->isr);
	u32 isrv = in_service < 0 ? 0 : (u32)in_service;

	return (a->tpr & 0xf0) >= (isrv & 0xf0) ? a->tpr : isrv & 0xf0;
}

static void reset_registers(struct vlapic *a)
{
	for (int i = 0; i < 8; i++) {
		a->isr[i] = 0;
		write_once(&a->irr[i], 0);
	}
	a->tpr = a->esr = a->esr_pending = 0;
	a->svr = 0xff;
	a->icr = 0;
	a->lvt_cmci = a->lvt_timer = a->lvt_thermal = a->lvt_perf = a->lvt_error = LVT_MASKED;
	a->lvt_lint[0] = a->lvt_lint[1] = LVT_MASKED;
	a->timer_initial = a->timer_divide = 0;
	a->tsc_deadline = a->pv_eoi = 0;
	a->pv_eoi_set = false;
}

void vlapic_init(struct vcpu *v)
{
	struct vlapic *a = &v->lapic;

	timer_init(&a->timer, timer_fired);
	reset_registers(a);
	a->apic_base = APIC_DEFAULT_ADDRESS | APIC_BASE_ENABLE | (v->id ? 0 : APIC_BASE_BSP);
}

void vlapic_start_in_x2apic_mode(struct vcpu *v)
{
	v->lapic.apic_base |= APIC_BASE_EXTD;
}

void vlapic_reset(struct vcpu *v)
{
	timer_cancel(&v->lapic.timer);
	reset_registers(&v->lapic);
}

void vlapic_deliver(struct vcpu *v, u8 vector)
{
	if (vector < 16)
		return;
	set_bit(v->lapic.irr, vector);
	vcpu_interrupt(v);
}

int vlapic_pending(struct vcpu *v)
{
	int vector = highest(v->lapic.irr);

	if (vector < 0 || !enabled(&v->lapic))
		return -1;
	return ((u32)vector & 0xf0) > (ppr(&v->lapic) & 0xf0) ? vector : -1;
}

u8 vlapic_cr8(const struct vcpu *v)
{
	return (u8)(v->lapic.tpr >> 4);
}

void vlapic_set_cr8(struct vcpu *v, u8 cr8)
{
	if (cr8 != vlapic_cr8(v))
		v->lapic.tpr = (u32)cr8 << 4;
}

bool vlapic_held_by_tpr(const struct vcpu *v)
{
	int vector = highest(v->lapic.irr), in_service = highest(v->lapic.isr);

	return vector >= 0 && enabled(&v->lapic) &&
	       (vector & 0xf0) > (in_service < 0 ? 0 : in_service & 0xf0) &&
	       (u32)(vector & 0xf0) <= (v->lapic.tpr & 0xf0);
}

int vlapic_offer(struct vcpu *v)
{
	int vector = vlapic_pending(v);

	if (vector >= 0)
		clear_bit(v->lapic.irr, (u8)vector);
	return vector;
}

void vlapic_settle(struct vcpu *v, u8 vector, bool taken)
{
	set_bit(taken ? v->lapic.isr : v->lapic.irr, vector);
	v->interrupts_taken += taken;
}

void vlapic_end_of_interrupt(struct vcpu *v)
{
	struct vlapic *a = &v->lapic;
	int vector = highest(a->isr);

	if (vector >= 0)
		clear_bit(a->isr, (u8)vector);
}

bool vlapic_next_eoi_is_quiet(const struct vcpu *v, int offered)
{
	return highest(v->lapic.irr) < 0 && (highest(v->lapic.isr) >= 0) != (offered >= 0);
}

/* --- timer, SDM vol. 3, 11.5.4 ---------------------------------------------------------------------------------------- */

static u32 timer_mode(const struct vlapic *a)
{
	return (u32)FIELD_GET(LVT_TIMER_MODE, a->lvt_timer);
}

/* Nanoseconds a count: the divide register's bits 3, 1 and 0 select 2, 4 .. 128, 1. */
static u64 ns_per_count(const struct vlapic *a)
{
	u32 code = (a->timer_divide & 3) | (a->timer_divide & 8) >> 1;

	_Static_assert(VLAPIC_TIMER_HZ == 1000000000UL, "one nanosecond a tick");
	return 1UL << ((code + 1) & 7);
}

static u64 period_ns(const struct vlapic *a)
{
	return MAX(a->timer_initial * ns_per_count(a),
		   timer_mode(a) == TIMER_PERIODIC ? MIN_PERIOD_NS : 1UL);
}

static void start_timer(struct vlapic *a)
{
	if (!a->timer_initial || timer_mode(a) == TIMER_TSC_DEADLINE) {
		timer_cancel(&a->timer);
		return;
	}
	a->timer_start_ns = clock_ns();
	timer_set(&a->timer, a->timer_start_ns + period_ns(a));
}

static void start_deadline(struct vcpu *v, u64 deadline)
{
	struct vlapic *a = &v->lapic;
	u64 now = vcpu_backend->read_msr(v, 0x10), left;

	a->tsc_deadline = deadline;
	if (!deadline) {
		timer_cancel(&a->timer);
		return;
	}
	left = deadline > now ? deadline - now : 0;
	timer_set(&a->timer, clock_ns() + clock_tsc_to_ns(left));
}

static u32 current_count(const struct vlapic *a)
{
	u64 elapsed = clock_ns() - a->timer_start_ns, counts = elapsed / ns_per_count(a);

	if (!a->timer_initial || timer_mode(a) == TIMER_TSC_DEADLINE)
		return 0;
	if (timer_mode(a) == TIMER_PERIODIC)
		counts %= a->timer_initial;
	return counts >= a->timer_initial ? 0 : a->timer_initial - (u32)counts;
}

static void timer_fired(struct timer *t)
{
	struct vlapic *a = container_of(t, struct vlapic, timer);
	struct vcpu *v = container_of(a, struct vcpu, lapic);

	if (timer_mode(a) == TIMER_PERIODIC && a->timer_initial) {
		u64 period = period_ns(a), now = clock_ns();

		/* What was missed while the vCPU did not run is missed. */
		a->timer_start_ns += period * ((now - a->timer_start_ns) / period);
		timer_set(t, a->timer_start_ns + period);
	}
	a->tsc_deadline = 0;
	if (!(a->lvt_timer & LVT_MASKED))
		vlapic_deliver(v, a->lvt_timer & LVT_VECTOR);
}

/* --- interrupt command, 11.6.1 and 11.12.9 ---------------------------------------------------------------------------- */

/* Cluster in the upper half, one bit in the lower: derived from the id, 11.12.10.2. */
static u32 logical_id(u32 id)
{
	return (id >> 4) << 16 | 1u << (id & 0xf);
}

static bool is_target(const struct vcpu *v, const struct vcpu *sender, u64 icr)
{
	u32 destination = (u32)FIELD_GET(ICR_DESTINATION, icr), logical = logical_id(v->id);

	switch ((enum icr_shorthand)FIELD_GET(ICR_SHORTHAND, icr)) {
	case TO_SELF:
		return v == sender;
	case TO_ALL:
		return true;
	case TO_OTHERS:
		return v != sender;
	case TO_DESTINATION:
		break;
	}
	if (destination == BROADCAST)
		return true;
	if (!(icr & ICR_LOGICAL))
		return destination == v->id;
	return destination >> 16 == logical >> 16 && (destination & logical & 0xffff);
}

static void send(struct vcpu *sender, struct vcpu *v, u64 icr)
{
	u8 vector = (u8)FIELD_GET(ICR_VECTOR, icr);

	switch (FIELD_GET(ICR_MODE, icr)) {
	case DELIVERY_FIXED:
	case DELIVERY_LOWEST:
		if (vector < 16)
			sender->lapic.esr_pending |= ESR_SEND_ILLEGAL;
		else
			vlapic_deliver(v, vector);
		break;
	case DELIVERY_NMI:
		write_once(&v->nmi_pending, true);
		vcpu_interrupt(v);
		break;
	case DELIVERY_INIT:
		/* The de-assert that old software sends does nothing: 11.6.1. */
		if (!(icr & ICR_TRIGGER_LEVEL) || (icr & ICR_ASSERT))
			vcpu_init_signal(v);
		break;
	case DELIVERY_STARTUP:
		vcpu_sipi(v, vector);
		break;
	}
}

static void write_icr(struct vcpu *v, u64 icr)
{
	const struct vm *vm = v->vm;
	bool lowest = FIELD_GET(ICR_MODE, icr) == DELIVERY_LOWEST;

	v->lapic.icr = icr;
	for (u32 i = 0; i < vm->nr_vcpus; i++) {
		if (!is_target(vm->vcpu[i], v, icr))
			continue;
		send(v, vm->vcpu[i], icr);
		if (lowest)
			break;
	}
}

/* --- registers ----------------------------------------------------------------------------------------------------------- */

static int write_apic_base(struct vcpu *v, u64 value)
{
	struct vlapic *a = &v->lapic;
	u64 modes = APIC_BASE_ENABLE | APIC_BASE_EXTD;

	/* 11.12.5: x2APIC without enable is no mode, and back to xAPIC goes by way of disabled. */
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

enum weir_msr_exit vlapic_msr_exit(u32 msr)
{
	switch (msr) {
	case MSR_X2APIC + APIC_EOI:
		return WEIR_MSR_EOI;
	case MSR_TSC_DEADLINE:
	case MSR_X2APIC + APIC_TIMER_INITIAL:
		return WEIR_MSR_TIMER;
	case MSR_X2APIC + APIC_ICR:
	case MSR_X2APIC + APIC_SELF_IPI:
		return WEIR_MSR_IPI;
	default:
		return WEIR_MSR_OTHER;
	}
}

int vlapic_read_msr(struct vcpu *v, u32 msr, u64 *value)
{
	struct vlapic *a = &v->lapic;
	u32 reg = msr - MSR_X2APIC, writable, *entry;

	if (msr == MSR_APIC_BASE) {
		*value = a->apic_base;
		return 0;
	}
	if (msr == MSR_TSC_DEADLINE) {
		*value = timer_mode(a) == TIMER_TSC_DEADLINE ? a->tsc_deadline : 0;
		return 0;
	}
	if (!(a->apic_base & APIC_BASE_EXTD))
		return -EINVAL;

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
		*value = 0; /* all interrupts are edge-triggered */
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
		*value = ppr(a);
		return 0;
	case APIC_LDR:
		*value = logical_id(v->id);
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
		*value = current_count(a);
		return 0;
	case APIC_TIMER_DIVIDE:
		*value = a->timer_divide;
		return 0;
	}
	return -EINVAL;
}

static int write_lvt(struct vlapic *a, u32 reg, u32 *entry, u32 writable, u64 value)
{
	u32 old_mode = timer_mode(a);

	if (value & ~(u64)writable)
		return -EINVAL;
	if (!(a->svr & SVR_ENABLE))
		value |= LVT_MASKED;
	*entry = (u32)value;
	if (reg == APIC_LVT_TIMER && timer_mode(a) != old_mode) {
		/* 11.5.4.1: a change to or from deadline mode disarms. */
		a->tsc_deadline = 0;
		if (timer_mode(a) == TIMER_TSC_DEADLINE || old_mode == TIMER_TSC_DEADLINE) {
			a->timer_initial = 0;
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
	/* 11.4.7.2: software-disabled, all LVT entries are masked. */
	a->lvt_cmci |= LVT_MASKED;
	a->lvt_timer |= LVT_MASKED;
	a->lvt_thermal |= LVT_MASKED;
	a->lvt_perf |= LVT_MASKED;
	a->lvt_lint[0] |= LVT_MASKED;
	a->lvt_lint[1] |= LVT_MASKED;
	a->lvt_error |= LVT_MASKED;
}

int vlapic_write_msr(struct vcpu *v, u32 msr, u64 value)
{
	struct vlapic *a = &v->lapic;
	u32 reg = msr - MSR_X2APIC, writable, *entry;

	if (msr == MSR_APIC_BASE)
		return write_apic_base(v, value);
	if (msr == MSR_TSC_DEADLINE) {
		if (timer_mode(a) == TIMER_TSC_DEADLINE)
			start_deadline(v, value);
		return 0;
	}
	if (!(a->apic_base & APIC_BASE_EXTD) || (reg != APIC_ICR && value >> 32))
		return -EINVAL;

	entry = lvt(a, reg, &writable);
	if (entry)
		return write_lvt(a, reg, entry, writable, value);
	switch (reg) {
	case APIC_TPR:
		if (value > 0xff)
			return -EINVAL;
		a->tpr = (u32)value;
		return 0;
	case APIC_EOI:
		if (value)
			return -EINVAL;
		vlapic_end_of_interrupt(v);
		return 0;
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
		if (value & ~ICR_WRITABLE)
			return -EINVAL;
		write_icr(v, value);
		return 0;
	case APIC_TIMER_INITIAL:
		if (timer_mode(a) == TIMER_TSC_DEADLINE)
			return 0;
		a->timer_initial = (u32)value;
		start_timer(a);
		return 0;
	case APIC_TIMER_DIVIDE:
		if (value & ~0xbUL)
			return -EINVAL;
		a->timer_divide = (u32)value;
		if (a->timer.armed)
			start_timer(a);
		return 0;
	case APIC_SELF_IPI:
		if (value > 0xff)
			return -EINVAL;
		if (value < 16)
			a->esr_pending |= ESR_RECEIVE_ILLEGAL;
		else
			vlapic_deliver(v, (u8)value);
		return 0;
	}
	return -EINVAL;
}
