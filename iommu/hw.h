/* The hardware as iommu/ touches it: registers and cache lines. The unit tests put a model of a
 * unit behind it. */
#pragma once

#include <kernel/lib/compiler.h>

#ifdef WEIR_HOST
u32 hw_read32(volatile void *base, u32 reg);
u64 hw_read64(volatile void *base, u32 reg);
void hw_write32(volatile void *base, u32 reg, u32 value);
void hw_write64(volatile void *base, u32 reg, u64 value);
void hw_write_back(const void *p, size_t n);
u64 hw_cycles(void);
u64 hw_cycles_to_ns(u64 cycles);
static inline void hw_write_back_line(const void *p)
{
	hw_write_back(p, 1);
}
static inline void hw_write_back_ends(const void *first, const void *last)
{
	hw_write_back(first, (size_t)((const char *)last - (const char *)first) + 1);
}
#else
#include <kernel/core/clock.h>
#include <kernel/x86/cache.h>
#include <kernel/x86/tsc.h>

static inline u32 hw_read32(volatile void *base, u32 reg)
{
	return *(volatile u32 *)((volatile char *)base + reg);
}

static inline u64 hw_read64(volatile void *base, u32 reg)
{
	return *(volatile u64 *)((volatile char *)base + reg);
}

static inline void hw_write32(volatile void *base, u32 reg, u32 value)
{
	*(volatile u32 *)((volatile char *)base + reg) = value;
}

static inline void hw_write64(volatile void *base, u32 reg, u64 value)
{
	*(volatile u64 *)((volatile char *)base + reg) = value;
}

/* Make [p, p + n) visible to a walker that does not snoop the caches. 64 bytes is the line of every
 * CPU with VT-d. */
static inline void hw_write_back(const void *p, size_t n)
{
	const char *line = (const char *)((u64)p & ~63UL), *end = (const char *)p + n;

	/* Whole tables, mostly, or one entry. */
	for (; end - line > 15 * 64; line += 16 * 64) {
#pragma GCC unroll 16
		for (unsigned int i = 0; i < 16; i++)
			clflush(&line[i * 64]);
	}
	for (; line < end; line += 64)
		clflush(line);
	mfence();
}

/* The one line that p lies in. */
static inline void hw_write_back_line(const void *p)
{
	clflush(p);
	mfence();
}

/* The one or two lines that these two bytes lie in. */
static inline void hw_write_back_ends(const void *first, const void *last)
{
	clflush(first);
	if (((u64)first ^ (u64)last) >= 64)
		clflush(last);
	mfence();
}

/* A clock for the trace, and what it says in nanoseconds since boot. */
static inline u64 hw_cycles(void)
{
	return rdtsc();
}

static inline u64 hw_cycles_to_ns(u64 cycles)
{
	return clock_at(cycles);
}
#endif
