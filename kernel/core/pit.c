/* Intel 8254 data sheet; port 0x61: bit 0 gate of channel 2, bit 1 speaker, bit 5 its output. */
#include <kernel/core/pit.h>

#include <kernel/lib/atomic.h>
#include <kernel/x86/io.h>
#include <kernel/x86/tsc.h>

#define PIT_HZ 1193182u
#define PIT_CHANNEL2 0x42
#define PIT_MODE 0x43
#define PORT_B 0x61
#define PORT_B_GATE 0x01
#define PORT_B_SPEAKER 0x02
#define PORT_B_OUTPUT 0x20

#define TICKS (PIT_HZ / 100)
/* A timer that stands still must not hold up the boot: it is given up after as many accesses and as
 * many ticks of the TSC. An access takes about 1 us, or some nanoseconds in an emulator that counts
 * instructions. */
#define MAX_POLLS 200000
#define MAX_TICKS 200000000

u64 pit_measure_tsc_hz(void)
{
	u8 port_b = inb(PORT_B);
	u64 start, end;
	u32 polls = 0;
	bool done;

	outb(PORT_B, (u8)((port_b & ~PORT_B_SPEAKER) | PORT_B_GATE));
	outb(PIT_MODE, 0xb0); /* channel 2, both bytes, mode 0: output rises at zero */
	outb(PIT_CHANNEL2, TICKS & 0xff);
	outb(PIT_CHANNEL2, TICKS >> 8);
	start = rdtsc();
	do {
		cpu_relax();
		done = inb(PORT_B) & PORT_B_OUTPUT;
		end = rdtsc();
	} while (!done && (++polls < MAX_POLLS || end - start < MAX_TICKS));
	outb(PORT_B, port_b);
	/* If the output rises at once, or never, there is no timer. */
	if (polls < 10 || !done)
		return 0;
	return (end - start) * PIT_HZ / TICKS;
}
