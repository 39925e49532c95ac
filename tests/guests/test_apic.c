/* The local APIC: delivery, priority, timer, paravirtual EOI, commands. */
#include <tests/guests/guest.h>

#include <kernel/abi/kvm.h>

#define V1 0x51
#define V2 0x62
#define TIMER 0x73
#define BASE_XAPIC (APIC_DEFAULT_ADDRESS | APIC_BASE_BSP | APIC_BASE_ENABLE)

static void self_ipi(u8 vector)
{
	wrmsr(X2APIC(APIC_SELF_IPI), vector);
}

static void irqs_on(void)
{
	__asm__ volatile("sti; nop; nop" ::: "memory");
}

static void wait_hlt(u8 vector, u32 nr)
{
	while (taken[vector] < nr) {
		halt_until_interrupt();
	}
}

static void test_delivery(void)
{
	u64 value;

	taken[V1] = 0;
	self_ipi(V1);
	CHECK_EQ("apic: held while IF = 0", taken[V1], 0);
	CHECK("apic: IRR shows it", rdmsr(X2APIC(APIC_IRR + V1 / 32)) & 1u << V1 % 32);
	irqs_on();
	CHECK_EQ("apic: self-IPI", taken[V1], 1);
	self_ipi(V1);
	interrupts_off();
	CHECK_EQ("apic: self-IPI while IF = 1", taken[V1], 2);
	CHECK_EQ("apic: nothing in service after EOI", rdmsr(X2APIC(APIC_ISR + V1 / 32)), 0);

	/* The higher vector first. */
	self_ipi(V1);
	self_ipi(V2);
	order_at = 0;
	irqs_on();
	interrupts_off();
	CHECK("apic: higher priority first", order_at == 2 && order[0] == V2 && order[1] == V1);

	/* An interrupt in service blocks its own class and lower ones. */
	keep_in_service = V1;
	self_ipi(V1);
	irqs_on();
	CHECK("apic: ISR shows it", rdmsr(X2APIC(APIC_ISR + V1 / 32)) & 1u << V1 % 32);
	CHECK_EQ("apic: PPR is its class", rdmsr(X2APIC(APIC_PPR)), V1 & 0xf0);
	taken[V1 - 1] = taken[V2] = 0;
	self_ipi(V1 - 1);
	self_ipi(V2);
	interrupts_off();
	CHECK_EQ("apic: a lower one waits for EOI", taken[V1 - 1], 0);
	CHECK_EQ("apic: a higher one does not", taken[V2], 1);
	keep_in_service = 0;
	wrmsr(X2APIC(APIC_EOI), 0);
	irqs_on();
	interrupts_off();
	CHECK_EQ("apic: the lower one comes after EOI", taken[V1 - 1], 1);

	CHECK_EQ("apic: EOI of anything but 0 is #GP", try_wrmsr(X2APIC(APIC_EOI), 1), EXC_GP);
	CHECK_EQ("apic: reading EOI is #GP", try_rdmsr(X2APIC(APIC_EOI), &value), EXC_GP);
	CHECK_EQ("apic: writing ISR is #GP", try_wrmsr(X2APIC(APIC_ISR), 0), EXC_GP);
	CHECK_EQ("apic: a register that is not there is #GP", try_rdmsr(X2APIC(0x0e), &value),
		 EXC_GP);
}

static void test_priority(void)
{
	taken[V1] = 0;
	wrmsr(X2APIC(APIC_TPR), 0x60);
	CHECK_EQ("apic: CR8 shows TPR", read_cr8(), 6);
	self_ipi(V1);
	irqs_on();
	CHECK_EQ("apic: held by TPR", taken[V1], 0);
	wrmsr(X2APIC(APIC_TPR), 0);
	CHECK_EQ("apic: delivered after TPR is lowered", taken[V1], 1);

	write_cr8(6);
	CHECK_EQ("apic: TPR shows CR8", rdmsr(X2APIC(APIC_TPR)), 0x60);
	self_ipi(V1);
	CHECK_EQ("apic: held by CR8", taken[V1], 1);
	write_cr8(5);
	CHECK_EQ("apic: held by CR8 of its own class", taken[V1], 1);
	write_cr8(4);
	__asm__ volatile("nop");
	CHECK_EQ("apic: delivered after CR8 is lowered", taken[V1], 2);
	write_cr8(0);

	/* An interrupt held by TPR must not block a higher one. */
	write_cr8(5);
	self_ipi(V1);
	taken[V2] = 0;
	self_ipi(V2);
	CHECK_EQ("apic: CR8 lets a higher one pass", taken[V2], 1);
	write_cr8(0);
	interrupts_off();

	/* CR8 is written while RFLAGS.IF holds an interrupt back, so Weir waits for the interrupt
	 * window. */
	self_ipi(V1);
	write_cr8(1);
	write_cr8(0xf);
	irqs_on();
	CHECK_EQ("apic: held by a CR8 written with interrupts off", taken[V1], 3);
	interrupts_off();
	write_cr8(0);
	irqs_on();
	CHECK_EQ("apic: delivered after the next write of CR8", taken[V1], 4);
	interrupts_off();
}

#define TICKS 1000000UL /* of the timer in 1 ms, if it is not divided */

static void test_one_shot(void)
{
	u64 start, elapsed, first, second;

	taken[TIMER] = 0;
	wrmsr(X2APIC(APIC_TIMER_DIVIDE), DIVIDE_BY_1);
	wrmsr(X2APIC(APIC_LVT_TIMER), TIMER);
	/* Longer than a busy host may take the CPU away. */
	wrmsr(X2APIC(APIC_TIMER_INITIAL), 4000 * TICKS);
	first = rdmsr(X2APIC(APIC_TIMER_CURRENT));
	second = rdmsr(X2APIC(APIC_TIMER_CURRENT));
	CHECK("apic: the timer counts down", first <= 4000 * TICKS && second < first);
	start = rdtsc_ordered();
	wrmsr(X2APIC(APIC_TIMER_INITIAL), 5 * TICKS);
	wait_hlt(TIMER, 1);
	elapsed = rdtsc_ordered() - start;
	CHECK("apic: one-shot timer wakes from HLT", taken[TIMER] == 1);
	if (under_weir)
		CHECK("apic: not before 5 ms have passed", elapsed >= 5 * tsc_khz * 99 / 100);
	CHECK_EQ("apic: its count is 0 then", rdmsr(X2APIC(APIC_TIMER_CURRENT)), 0);
	spin_us(10000);
	irqs_on();
	interrupts_off();
	CHECK_EQ("apic: one-shot fires once", taken[TIMER], 1);
}

static void test_periodic(void)
{
	u64 start, elapsed;

	taken[TIMER] = 0;
	wrmsr(X2APIC(APIC_LVT_TIMER), TIMER | LVT_PERIODIC);
	start = rdtsc_ordered();
	wrmsr(X2APIC(APIC_TIMER_DIVIDE), DIVIDE_BY_2);
	wrmsr(X2APIC(APIC_TIMER_INITIAL), TICKS); /* 2 ms */
	wait_hlt(TIMER, 5);
	elapsed = rdtsc_ordered() - start;
	wrmsr(X2APIC(APIC_TIMER_INITIAL), 0);
	CHECK("apic: periodic timer", taken[TIMER] >= 5);
	if (under_weir)
		CHECK("apic: five periods of 2 ms", elapsed >= 9 * tsc_khz);
	irqs_on();
	interrupts_off();
	taken[TIMER] = 0;
	spin_us(5000);
	irqs_on();
	interrupts_off();
	CHECK_EQ("apic: an initial count of 0 stops it", taken[TIMER], 0);

	wrmsr(X2APIC(APIC_LVT_TIMER), TIMER | LVT_MASKED);
	wrmsr(X2APIC(APIC_TIMER_INITIAL), 1000);
	spin_us(2000);
	irqs_on();
	interrupts_off();
	CHECK_EQ("apic: masked", taken[TIMER], 0);
}

static void test_deadline(void)
{
	u64 start, elapsed;

	if (!(cpuid(1, 0).ecx & CPUID1_ECX_TSC_DEADLINE))
		return;
	wrmsr(X2APIC(APIC_LVT_TIMER), TIMER | LVT_TSC_DEADLINE);
	wrmsr(X2APIC(APIC_TIMER_INITIAL), 1000);
	CHECK_EQ("apic: no count in deadline mode", rdmsr(X2APIC(APIC_TIMER_CURRENT)), 0);
	start = rdtsc_ordered();
	wrmsr(MSR_TSC_DEADLINE, start + 4000 * tsc_khz);
	CHECK_EQ("apic: the deadline can be read", rdmsr(MSR_TSC_DEADLINE), start + 4000 * tsc_khz);
	start = rdtsc_ordered();
	wrmsr(MSR_TSC_DEADLINE, start + 3 * tsc_khz);
	wait_hlt(TIMER, 1);
	elapsed = rdtsc_ordered() - start;
	CHECK("apic: TSC deadline, not early", elapsed >= 3 * tsc_khz * 99 / 100);
	CHECK_EQ("apic: the deadline is 0 then", rdmsr(MSR_TSC_DEADLINE), 0);
	wrmsr(MSR_TSC_DEADLINE, 1);
	wait_hlt(TIMER, 2);
	CHECK_EQ("apic: a deadline that has passed fires at once", taken[TIMER], 2);
	wrmsr(MSR_TSC_DEADLINE, 1);
	CHECK("apic: it is pending before the next instruction",
	      rdmsr(X2APIC(APIC_IRR + TIMER / 32)) & 1u << TIMER % 32);
	irqs_on();
	interrupts_off();

	taken[TIMER] = 0;
	start = rdtsc_ordered();
	wrmsr(MSR_TSC_DEADLINE, start + tsc_khz);
	wrmsr(X2APIC(APIC_TIMER_DIVIDE), DIVIDE_BY_1);
	irqs_on();
	while (!taken[TIMER] && rdtsc_ordered() - start < 1000 * tsc_khz)
		cpu_relax();
	interrupts_off();
	CHECK_EQ("apic: the divide register leaves a deadline alone", taken[TIMER], 1);
}

static void test_timer(void)
{
	interrupts_off();
	test_one_shot();
	test_periodic();
	test_deadline();
	wrmsr(X2APIC(APIC_LVT_TIMER), TIMER | LVT_MASKED);

	/* A guest that never exits by itself must still be interrupted. */
	taken[TIMER] = 0;
	wrmsr(X2APIC(APIC_LVT_TIMER), TIMER);
	wrmsr(X2APIC(APIC_TIMER_INITIAL), TICKS);
	irqs_on();
	for (u64 end = rdtsc_ordered() + 1000 * (tsc_khz ? tsc_khz : 2000000);
	     !taken[TIMER] && rdtsc_ordered() < end;)
		cpu_relax();
	interrupts_off();
	CHECK_EQ("apic: the timer interrupts a spinning guest", taken[TIMER], 1);
}

/* Each interrupt is delivered once, and none while a handler has interrupts off. */
static void test_once(void)
{
	u64 start = rdtsc_ordered(), periods;

	taken[TIMER] = taken_while_off = 0;
	linger = 500;
	wrmsr(X2APIC(APIC_TIMER_DIVIDE), DIVIDE_BY_1);
	wrmsr(X2APIC(APIC_LVT_TIMER), TIMER | LVT_PERIODIC);
	wrmsr(X2APIC(APIC_TIMER_INITIAL), 100000); /* 100 us */
	irqs_on();
	/* However busy the machine is: until enough have come, or none comes for ten seconds. */
	for (u32 before = 0, idle_ms = 0; taken[TIMER] <= 300 && idle_ms < 10000; idle_ms++) {
		if (taken[TIMER] != before)
			idle_ms = 0;
		before = taken[TIMER];
		spin_us(1000);
	}
	interrupts_off();
	wrmsr(X2APIC(APIC_TIMER_INITIAL), 0);
	linger = 0;
	periods = (rdtsc_ordered() - start) * 10 / (tsc_khz ? tsc_khz : 2000000);
	CHECK("apic: many interrupts", taken[TIMER] > 100);
	CHECK("apic: not more than there were periods", taken[TIMER] <= periods + 2);
	CHECK_EQ("apic: none while IF = 0", taken_while_off, 0);
	irqs_on();
	interrupts_off();
}

#define KVM_CPUID_FEATURES 0x40000101u
#define KVM_FEATURE_PV_EOI (1u << 6)

static bool in_service(u8 vector)
{
	return rdmsr(X2APIC(APIC_ISR + vector / 32)) & 1u << vector % 32;
}

static void test_pv_eoi_on(void)
{
	u64 memory = (u64)&eoi_flag;

	CHECK("pv eoi: is offered", cpuid(KVM_CPUID_FEATURES, 0).eax & KVM_FEATURE_PV_EOI);
	CHECK_EQ("pv eoi: a reserved bit is #GP", try_wrmsr(MSR_KVM_PV_EOI_EN, memory | 3), EXC_GP);
	wrmsr(MSR_KVM_PV_EOI_EN, memory | 1);
	CHECK_EQ("pv eoi: the MSR can be read", rdmsr(MSR_KVM_PV_EOI_EN), memory | 1);

	eois_by_flag = 0;
	self_ipi(V1);
	irqs_on();
	interrupts_off();
	CHECK_EQ("pv eoi: one interrupt needs no EOI", eois_by_flag, 1);
	CHECK("pv eoi: it is not in service any more", !in_service(V1));
	CHECK_EQ("pv eoi: the flag is clear", eoi_flag, 0);

	/* Another one waits for the EOI of the first: that must be seen. */
	eois_by_flag = order_at = 0;
	self_ipi(V1);
	self_ipi(V2);
	irqs_on();
	interrupts_off();
	CHECK("pv eoi: two come by priority", order_at == 2 && order[0] == V2 && order[1] == V1);
	CHECK_EQ("pv eoi: the last of them needs no EOI", eois_by_flag, 1);
}

static void test_pv_eoi_nested(void)
{
	/* Another interrupt becomes pending while the handler runs. */
	keep_in_service = V2;
	self_ipi(V2);
	irqs_on();
	CHECK_EQ("pv eoi: in service, the flag is set", eoi_flag, 1);
	taken[V1] = 0;
	self_ipi(V1);
	CHECK_EQ("pv eoi: another one waits, the flag is clear", eoi_flag, 0);
	CHECK("pv eoi: the first is still in service", in_service(V2) && !taken[V1]);
	keep_in_service = 0;
	wrmsr(X2APIC(APIC_EOI), 0);
	interrupts_off();
	CHECK("pv eoi: the other one comes after its EOI", taken[V1] == 1 && !in_service(V1));

	/* A higher one interrupts the handler of a lower one, whose EOI comes later. */
	keep_in_service = V1;
	self_ipi(V1);
	irqs_on();
	eois_by_flag = taken[V2] = 0;
	self_ipi(V2);
	interrupts_off();
	CHECK("pv eoi: nested",
	      taken[V2] == 1 && !eois_by_flag && in_service(V1) && !in_service(V2));
	CHECK_EQ("pv eoi: the flag is set again for the outer one", eoi_flag, 1);
	keep_in_service = 0;
	eoi_flag = 0;
	CHECK("pv eoi: clearing the flag ends it", !in_service(V1));
}

static void test_pv_eoi_off(void)
{
	/* Clearing the flag before the interrupt is taken has no effect. */
	self_ipi(V1);
	CHECK_EQ("pv eoi: offered, the flag is set", eoi_flag, 1);
	eoi_flag = 0;
	taken[V1] = eois_by_flag = 0;
	irqs_on();
	interrupts_off();
	CHECK("pv eoi: the interrupt is taken and ended", taken[V1] == 1 && !in_service(V1));

	self_ipi(V1);
	wrmsr(MSR_KVM_PV_EOI_EN, 0);
	CHECK_EQ("pv eoi: switched off, the flag is clear", eoi_flag, 0);
	irqs_on();
	interrupts_off();
	CHECK("pv eoi: then the handler writes EOI", !in_service(V1));

	/* At an address without memory. */
	wrmsr(MSR_KVM_PV_EOI_EN, 0xfffffff0000 | 1);
	taken[V1] = 0;
	self_ipi(V1);
	irqs_on();
	interrupts_off();
	CHECK("pv eoi: without memory EOI is written", taken[V1] == 1 && !in_service(V1));
	CHECK_EQ("pv eoi: off again", try_wrmsr(MSR_KVM_PV_EOI_EN, 0), NONE);
	CHECK_EQ("pv eoi: reads as 0", rdmsr(MSR_KVM_PV_EOI_EN), 0);
}

static void test_pv_eoi(void)
{
	if (!under_weir)
		return;
	test_pv_eoi_on();
	test_pv_eoi_nested();
	test_pv_eoi_off();
}

static void test_commands(void)
{
	taken[V1] = taken[EXC_NMI] = 0;
	irqs_on();
	wrmsr(X2APIC(APIC_ICR), ICR_SELF | V1);
	CHECK_EQ("apic: ICR, self", taken[V1], 1);
	wrmsr(X2APIC(APIC_ICR), V1); /* physical, to id 0 */
	CHECK_EQ("apic: ICR, physical", taken[V1], 2);
	wrmsr(X2APIC(APIC_ICR), ICR_TO(1) | ICR_LOGICAL | V1); /* cluster 0, bit 0 */
	CHECK_EQ("apic: ICR, logical", taken[V1], 3);
	wrmsr(X2APIC(APIC_ICR), ICR_TO(0x55) | V1);
	CHECK_EQ("apic: ICR, to nobody", taken[V1], 3);
	wrmsr(X2APIC(APIC_ICR), ICR_ALL_BUT_SELF | V1);
	CHECK_EQ("apic: ICR, all but self", taken[V1], 3);
	interrupts_off();
	wrmsr(X2APIC(APIC_ICR), ICR_NMI); /* NMI to id 0 */
	__asm__ volatile("nop");
	CHECK_EQ("apic: NMI, with IF = 0", taken[EXC_NMI], 1);
	wrmsr(X2APIC(APIC_ICR), ICR_NMI);
	__asm__ volatile("nop");
	CHECK_EQ("apic: the next NMI comes too", taken[EXC_NMI], 2);

	wrmsr(X2APIC(APIC_ESR), 0);
	wrmsr(X2APIC(APIC_ICR), 3);
	wrmsr(X2APIC(APIC_ESR), 0);
	CHECK("apic: an illegal vector is in the ESR",
	      rdmsr(X2APIC(APIC_ESR)) & (ESR_SEND_ILLEGAL | ESR_RECEIVE_ILLEGAL));
	CHECK_EQ("apic: a reserved bit of ICR is #GP", try_wrmsr(X2APIC(APIC_ICR), 1u << 20 | V1),
		 EXC_GP);
}

static void test_disabled(void)
{
	u64 svr = rdmsr(X2APIC(APIC_SVR));

	CHECK_EQ("apic: focus processor checking can be written",
		 try_wrmsr(X2APIC(APIC_SVR), svr | 1u << 9), NONE);
	CHECK_EQ("apic: a reserved bit of SVR is #GP", try_wrmsr(X2APIC(APIC_SVR), svr | 1u << 16),
		 EXC_GP);
	CHECK("apic: CPUID shows it", cpuid(1, 0).edx & CPUID1_EDX_APIC);

	taken[V1] = 0;
	wrmsr(X2APIC(APIC_SVR), svr & ~(u64)SVR_ENABLE);
	self_ipi(V1);
	wrmsr(X2APIC(APIC_SVR), svr);
	irqs_on();
	interrupts_off();
	CHECK_EQ("apic: disabled, it takes no interrupt", taken[V1], 0);

	/* 11.4.3: while IA32_APIC_BASE disables it, CPUID says that there is none. */
	wrmsr(MSR_APIC_BASE, APIC_DEFAULT_ADDRESS | APIC_BASE_BSP);
	CHECK_EQ("apic: switched off, CPUID hides it", cpuid(1, 0).edx & CPUID1_EDX_APIC, 0);
	wrmsr(MSR_APIC_BASE, BASE_XAPIC);
	apic_on();
	CHECK("apic: switched on, CPUID shows it", cpuid(1, 0).edx & CPUID1_EDX_APIC);
}

void test_apic(void)
{
	CHECK_EQ("apic: id", rdmsr(X2APIC(APIC_ID)), 0);
	CHECK_EQ("apic: version", rdmsr(X2APIC(APIC_VERSION)) & 0xf0, 0x10);
	CHECK_EQ("apic: logical id", rdmsr(X2APIC(APIC_LDR)), 1);
	CHECK_EQ("apic: base, x2APIC and bootstrap", rdmsr(MSR_APIC_BASE),
		 BASE_XAPIC | APIC_BASE_EXTD);
	CHECK_EQ("apic: back to xAPIC is #GP", try_wrmsr(MSR_APIC_BASE, BASE_XAPIC), EXC_GP);
	test_delivery();
	test_priority();
	test_timer();
	test_once();
	test_pv_eoi();
	test_commands();
	test_disabled();

	/* STI blocks interrupts for one instruction. */
	taken[V1] = 0;
	self_ipi(V1);
	{
		u32 inside, after;

		__asm__ volatile("sti; mov %2, %0; nop; mov %2, %1; cli"
				 : "=&r"(inside), "=&r"(after)
				 : "m"(taken[V1])
				 : "memory");
		CHECK_EQ("apic: not in the shadow of STI", inside, 0);
		CHECK_EQ("apic: right after it", after, 1);
	}
}
