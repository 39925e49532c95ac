/* Several vCPUs: started, interrupted, stopped, started again. */
#include <tests/guests/guest.h>

#define V1 0x91
#define TRAMPOLINE 0x8000UL

extern const u8 trampoline[], trampoline_end[];

static volatile u32 started, beats[16], stop;

static void (*volatile ap_work)(void);

void ap_main(void);
void ap_main(void)
{
	u32 id;

	traps_load();
	apic_on();
	id = (u32)rdmsr(X2APIC(APIC_ID));
	__atomic_fetch_or(&started, 1u << id, __ATOMIC_SEQ_CST);
	if (ap_work)
		ap_work();
	interrupts_on();
	for (;;) {
		beats[id]++;
		if (stop)
			__asm__ volatile("hlt");
		else
			cpu_relax();
	}
}

static bool wait_for(volatile u32 *word, u32 value, u64 ms)
{
	u64 end = rdtsc_ordered() + ms * (tsc_khz ? tsc_khz : 2000000);

	while (*word != value && rdtsc_ordered() < end)
		cpu_relax();
	return *word == value;
}

static void send_all_others(u32 command)
{
	wrmsr(X2APIC(APIC_ICR), ICR_ALL_BUT_SELF | command);
}

static u32 nr_cpus(void)
{
	return cpuid(0xb, 1).ebx;
}

bool smp_start(void (*work)(void))
{
	for (const u8 *s = trampoline, *d = (u8 *)TRAMPOLINE; s < trampoline_end; s++, d++)
		*(volatile u8 *)(u64)d = *s;
	ap_work = work;
	started = 0;
	/* Without a pause between them: INIT must not swallow the SIPI that follows. */
	send_all_others(ICR_INIT | ICR_ASSERT);
	send_all_others(ICR_STARTUP | TRAMPOLINE >> 12);
	return wait_for(&started, (1u << nr_cpus()) - 2, 2000);
}

static volatile u32 awake;

static void halt_with_interrupts_off(void)
{
	wrmsr(X2APIC(APIC_SELF_IPI), V1);
	__asm__ volatile("hlt");
	__atomic_fetch_add(&awake, 1, __ATOMIC_SEQ_CST);
}

void test_smp(void)
{
	u32 nr = nr_cpus(), seen;

	if (nr < 2) {
		print("only one CPU\n");
		return;
	}
	CHECK("smp: INIT, SIPI start all", smp_start(NULL));

	taken[V1] = 0;
	send_all_others(V1);
	CHECK("smp: IPI to all others", wait_for(&taken[V1], nr - 1, 1000));
	wrmsr(X2APIC(APIC_ICR), ICR_TO(1) | V1);
	CHECK("smp: IPI, physical", wait_for(&taken[V1], nr, 1000));
	wrmsr(X2APIC(APIC_ICR), ICR_TO(2) | ICR_LOGICAL | V1);
	CHECK("smp: IPI, logical", wait_for(&taken[V1], nr + 1, 1000));

	stop = 1;
	spin_us(20000);
	taken[V1] = 0;
	send_all_others(V1);
	CHECK("smp: IPI wakes from HLT", wait_for(&taken[V1], nr - 1, 1000));
	taken[EXC_NMI] = 0;
	wrmsr(X2APIC(APIC_ICR), ICR_TO(1) | ICR_NMI);
	CHECK("smp: NMI wakes from HLT", wait_for(&taken[EXC_NMI], 1, 1000));
	stop = 0;
	send_all_others(V1);
	spin_us(20000);

	wrmsr(X2APIC(APIC_ICR), ICR_TO(1) | ICR_INIT | ICR_ASSERT);
	spin_us(50000);
	seen = beats[1];
	spin_us(50000);
	CHECK_EQ("smp: INIT stops a CPU", beats[1], seen);
	started = 0;
	wrmsr(X2APIC(APIC_ICR), ICR_TO(1) | ICR_STARTUP | TRAMPOLINE >> 12);
	CHECK("smp: SIPI starts it again", wait_for(&started, 2, 2000));

	/* Without a pause between them, to a CPU that runs or waits to be scheduled: none is lost,
	 * and the earlier NMI is not delivered in real mode. */
	started = 0;
	wrmsr(X2APIC(APIC_ICR), ICR_TO(1) | ICR_NMI);
	wrmsr(X2APIC(APIC_ICR), ICR_TO(1) | ICR_INIT | ICR_ASSERT);
	wrmsr(X2APIC(APIC_ICR), ICR_TO(1) | ICR_STARTUP | TRAMPOLINE >> 12);
	CHECK("smp: NMI, INIT, SIPI start it anew", wait_for(&started, 2, 2000));

	CHECK("smp: started again", smp_start(halt_with_interrupts_off));
	spin_us(20000);
	send_all_others(V1);
	spin_us(20000);
	CHECK_EQ("smp: no interrupt ends HLT while IF = 0", awake, 0);
	send_all_others(ICR_NMI);
	CHECK("smp: an NMI does", wait_for(&awake, nr - 1, 1000));
	send_all_others(ICR_INIT | ICR_ASSERT);
}
