/* Access to memory-mapped registers, and the order of accesses as a device sees it. */
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

/* A device sees the stores before it before the stores after it. x86 keeps this order by itself, so
 * this only has to stop the compiler from reordering. */
static inline void write_barrier(void)
{
	barrier();
}

/* The same for loads of memory that a device writes. */
static inline void read_barrier(void)
{
	barrier();
}
