/* Device registers in memory, and the order of accesses as a device sees it. */
#pragma once

#include <kernel/lib/atomic.h>

static inline u32 mmio_read32(const volatile void *p)
{
	return *(const volatile u32 *)p;
}

static inline void mmio_write16(volatile void *p, u16 value)
{
	*(volatile u16 *)p = value;
}

static inline void mmio_write32(volatile void *p, u32 value)
{
	*(volatile u32 *)p = value;
}

/* Stores before it are visible to a device before stores after it. x86 keeps this order by itself,
 * so only the compiler has to be told. */
static inline void write_barrier(void)
{
	barrier();
}

/* The same for loads of what a device writes. */
static inline void read_barrier(void)
{
	barrier();
}
