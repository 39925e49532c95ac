/* What an exit costs: repeats an instruction that causes one, and reads the time-stamp counter
 * before and after it. For bench/exits.py, where one count is one instruction. */
#include <tests/guests/guest.h>

#include <kernel/abi/hypercall.h>
#include <kernel/x86/segment.h>
#include <kernel/x86/trap.h>

#define ROUNDS 32
#define NO_PORT 0x2e0
#define NO_MEMORY ((volatile u32 *)0xfe000000UL)
#define FAR_AWAY (1UL << 60) /* a deadline that does not come */
#define VECTOR 0x53

/* The fewest counts that `instruction` takes; the two readings themselves are not counted. */
#define ROW(name, instruction)                                                                     \
	do {                                                                                       \
		u64 least = ~0UL;                                                                  \
                                                                                                   \
		for (u32 i = 0; i < ROUNDS; i++) {                                                 \
			u64 begin = rdtsc();                                                       \
                                                                                                   \
			instruction;                                                               \
			least = MIN(least, rdtsc() - begin);                                       \
		}                                                                                  \
		print("cost: %s: %lu\n", name, least - readings);                                  \
	} while (0)

static u64 readings;

static void read_twice(void)
{
	readings = ~0UL;
	for (u32 i = 0; i < ROUNDS; i++) {
		u64 begin = rdtsc();

		readings = MIN(readings, rdtsc() - begin);
	}
}

static void count_instructions(void)
{
	ROW("OUT to a port that nobody answers", outb(NO_PORT, 0));
	ROW("CPUID", cpuid(0, 0));
	ROW("hypercall `version`", hypercall(WEIR_HC_VERSION, 0, 0, 0));
	ROW("x2APIC EOI", wrmsr(X2APIC(APIC_EOI), 0));
	ROW("x2APIC TPR", wrmsr(X2APIC(APIC_TPR), 0));
	ROW("x2APIC ID", (void)rdmsr(X2APIC(APIC_ID)));
	wrmsr(X2APIC(APIC_LVT_TIMER), LVT_MASKED | LVT_TSC_DEADLINE | VECTOR);
	ROW("TSC deadline", wrmsr(MSR_TSC_DEADLINE, FAR_AWAY));
	wrmsr(X2APIC(APIC_LVT_TIMER), LVT_MASKED | VECTOR);
	ROW("initial count of the timer", wrmsr(X2APIC(APIC_TIMER_INITIAL), 0xffffffff));
	wrmsr(X2APIC(APIC_TIMER_INITIAL), 0);
	ROW("read of trapped memory", (void)*NO_MEMORY);
	ROW("write to trapped memory", *NO_MEMORY = 0);
}

/* --- interrupts between two vCPUs ----------------------------------------- */

static struct idt_gate gates[NR_VECTORS] __aligned(16);
static volatile u64 arrived;
static volatile bool ready;
static volatile bool sleeps;

struct interrupt_frame;

__attribute__((interrupt)) static void note_arrival(struct interrupt_frame *f __unused)
{
	arrived = rdtsc();
	wrmsr(X2APIC(APIC_EOI), 0);
}

static void receive(void)
{
	gates[VECTOR] = interrupt_gate((const void *)note_arrival, 0x08, GATE_INTERRUPT, 0);
	lidt(gates, sizeof(gates));
	ready = true;
	interrupts_on();
	for (;;) {
		if (sleeps)
			__asm__ volatile("hlt");
		else
			cpu_relax();
	}
}

static void send_interrupts(const char *name)
{
	u64 least = ~0UL, most = 0;

	for (u32 i = 0; i < ROUNDS; i++) {
		u64 begin;

		spin_us(200);
		arrived = 0;
		begin = rdtsc();
		wrmsr(X2APIC(APIC_ICR), ICR_TO(1) | VECTOR);
		while (!arrived)
			cpu_relax();
		least = MIN(least, arrived - begin);
		most = MAX(most, arrived - begin);
	}
	print("cost: %s: %lu\n", name, least);
	print("most: %s: %lu\n", name, most);
}

void test_cost(void)
{
	read_twice();
	count_instructions();
	if (cpuid(0xb, 1).ebx < 2)
		return;
	CHECK("cost: the other CPU starts", smp_start(receive));
	while (!ready)
		cpu_relax();
	send_interrupts("IPI to a vCPU that runs on another CPU");
	sleeps = true;
	wrmsr(X2APIC(APIC_ICR), ICR_TO(1) | VECTOR);
	send_interrupts("IPI to a vCPU that sleeps on another CPU");
}
