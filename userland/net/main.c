/* The network guest: a web server, echo and a throughput server over lwIP; without a NIC, a heartbeat. Options on its
 * command line: ip= gw= mask= test=spin exit=SECONDS. */
#include "../runtime/cpu.h"
#include "../runtime/runtime.h"

#include <string.h>

#define SECOND 1000000000UL

static u64 exit_after; /* seconds; 0: never */

static void exit_if_due(void)
{
	if (exit_after && clock_ns() >= exit_after * SECOND) {
		print("net: %lu seconds are over, shutting down\n", exit_after);
		shutdown(0, 0);
	}
}

static void spin(void)
{
	u64 next = SECOND, count = 0, second = 0;

	print("net: test=spin: burning the CPU\n");
	for (;; count++) {
		if (clock_ns() < next)
			continue;
		next += SECOND;
		print("net: spin %lu: %lu rounds\n", ++second, count);
		exit_if_due();
	}
}

static void heartbeat(void)
{
	u64 next = SECOND, second = 0;

	for (;;) {
		u64 now = clock_ns();

		if (now >= next) {
			print("net: heartbeat %lu\n", ++second);
			exit_if_due();
			next += SECOND;
			continue;
		}
		interrupts_off();
		x2apic_timer(next - now);
		interrupts_on_and_halt();
	}
}

void program_main(void)
{
	const char *test = option("test");
	bool spinning = test && !strcmp(test, "spin");

	exit_after = option_number("exit", 0);
	if (spinning)
		spin();
	heartbeat();
}
