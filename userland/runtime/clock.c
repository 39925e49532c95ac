/* The clock: the TSC. Weir reports its rate in a CPUID leaf; otherwise it is measured against the
 * PIT. */
#include <kernel/lib/atomic.h>
#include <kernel/x86/cpuid.h>
#include <kernel/x86/io.h>
#include <kernel/x86/tsc.h>
#include "runtime.h"

#define PIT_HZ 1193182u
#define PIT_CHANNEL2 0x42
#define PIT_COMMAND 0x43
#define PORT_B 0x61 /* bit 0: gate of channel 2, bit 1: speaker, bit 5: its output */
#define MEASURE_MS 20

static u64 khz, start, mult; /* ns = (ticks * mult) >> 32 */

static u64 measure_khz(void)
{
	u32 count = PIT_HZ * MEASURE_MS / 1000;
	u8 gate = inb(PORT_B) & 0xfc;
	u64 begin, spins = 0;

	outb(PORT_B, gate);
	outb(PIT_COMMAND, 0xb0); /* channel 2, both bytes, mode 0 */
	outb(PIT_CHANNEL2, (u8)count);
	outb(PIT_CHANNEL2, (u8)(count >> 8));
	outb(PORT_B, gate | 1);
	begin = rdtsc();
	while (!(inb(PORT_B) & BIT(5)))
		if (++spins > 50000000)
			return 0;
	return spins ? (rdtsc() - begin) / MEASURE_MS : 0;
}

void clock_init(void)
{
	if (hypervisor_name()[0] && cpuid(WEIR_CPUID_BASE, 0).eax >= WEIR_CPUID_TIMING)
		khz = cpuid(WEIR_CPUID_TIMING, 0).eax;
	if (!khz)
		khz = measure_khz();
	if (!khz)
		fatal("the TSC rate is unknown: neither CPUID leaf %x nor a PIT provides it",
		      WEIR_CPUID_TIMING);
	mult = (1000000UL << 32) / khz;
	start = rdtsc();
}

u64 clock_ns(void)
{
	return (u64)((unsigned __int128)(rdtsc() - start) * mult >> 32);
}

u64 clock_tsc_khz(void)
{
	return khz;
}

void delay_us(u32 us)
{
	u64 until = clock_ns() + us * 1000UL;

	while (clock_ns() < until)
		cpu_relax();
}
