/* What lwIP needs from its platform: time, random numbers, messages. */
#include <lwip/sys.h>
#include <stdarg.h>
#include <stdio.h>
#include <kernel/x86/cpuid.h>
#include <kernel/x86/tsc.h>
#include "../runtime/runtime.h"

u32_t sys_now(void)
{
	return (u32_t)(clock_ns() / 1000000);
}

/* xorshift64*, seeded with RDRAND if the CPU has it. */
uint32_t lwip_port_random(void)
{
	static u64 state;

	if (!state) {
		state = rdtsc() | 1;
		if (cpuid(1, 0).ecx & CPUID1_ECX_RDRAND) {
			u64 value = 0;

			__asm__ volatile("rdrand %0" : "=r"(value)::"cc");
			state ^= value;
			state |= 1;
		}
	}
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return (uint32_t)(state * 2685821657736338717UL >> 32);
}

void lwip_port_message(const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	print("lwip: %s", text);
}

void lwip_port_assert(const char *text, const char *file, int line)
{
	fatal("lwip: %s (%s:%d)", text, file, line);
}
