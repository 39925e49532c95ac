/* A device that its guest makes interrupt without end, on a CPU where the guest itself does not run: each interrupt costs whoever
 * runs there an exit. Without a limit that CPU does little else (tests/system/test_hostile.py watches who runs there). With two
 * vCPUs, of which the second, on the other CPU, is the one that the interrupts are for. */
#include <tests/guests/edu.h>

#include <kernel/abi/hypercall.h>

#define EVENT_VECTOR 0x63
#define DEVICE_VECTOR 0x64
#define TO_VCPU_1 0xfee01000u
#define TO_VCPU_0 0xfee00000u
#define SECONDS 5

static struct weir_stats stats __attribute__((aligned(4096)));

static void read_stats(void)
{
	(void)hypercall(WEIR_HC_STATS, (u64)&stats, sizeof(stats), 0);
}

void test_storm(void)
{
	u64 end, raised = 0, began, delivered, windows, lost = 0;

	if (!under_weir || !edu_find()) {
		print("storm: no edu device, skipped\n");
		return;
	}
	CHECK_EQ("storm: vector", hypercall(WEIR_HC_EVENT_VECTOR, EVENT_VECTOR, 0, 0), 0);
	__asm__ volatile("sti");
	edu_msi(TO_VCPU_1, DEVICE_VECTOR);
	spin_us(SECONDS * 1000000);

	read_stats();
	delivered = stats.interrupts_delivered;
	began = stats.uptime_ns;
	print("storm: begins\n");
	end = rdtsc() + SECONDS * 1000UL * tsc_khz;
	while (rdtsc() < end || (!taken[EVENT_VECTOR] && rdtsc() < end + 20000UL * tsc_khz)) {
		for (u32 i = 0; i < 100; i++)
			edu_raise();
		raised += 100;
	}
	read_stats();
	print("storm: ends\n");
	delivered = stats.interrupts_delivered - delivered;
	windows = (stats.uptime_ns - began) / 10000000;
	print("storm: %lu raised, %lu delivered, %lu pauses in %lu windows\n", raised, delivered,
	      stats.interrupt_pauses, windows);
	CHECK("storm: told by an event",
	      taken[EVENT_VECTOR] && hypercall(WEIR_HC_EVENTS, 0, 0, 0) & WEIR_EVENT_STORM);
	spin_us(SECONDS * 1000000);

	/* Single ones arrive as ever. Pauses may add some, in place of those that MSI cannot keep, but none is lost. */
	edu_msi(TO_VCPU_0, DEVICE_VECTOR);
	for (u32 i = 0; i < 100; i++) {
		u32 before = taken[DEVICE_VECTOR];

		edu_raise();
		for (u32 ms = 0; ms < 1000 && taken[DEVICE_VECTOR] == before; ms++)
			spin_us(1000);
		lost += taken[DEVICE_VECTOR] == before;
		edu_acknowledge();
	}
	CHECK_EQ("storm: no single interrupt is lost after it", lost, 0);
	edu_msi_off();
	(void)hypercall(WEIR_HC_EVENT_VECTOR, 0, 0, 0);
	__asm__ volatile("cli");
}
