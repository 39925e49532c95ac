/* Configuration space of bus 0, by ports. */
#pragma once

#include <tests/guests/guest.h>

static inline void out32(u16 port, u32 value)
{
	__asm__ volatile("outl %0, %1" ::"a"(value), "Nd"(port));
}

static inline u32 in32(u16 port)
{
	u32 value;

	__asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline void out16(u16 port, u16 value)
{
	__asm__ volatile("outw %0, %1" ::"a"(value), "Nd"(port));
}

static inline u32 config_read(u32 slot, u32 reg)
{
	out32(0xcf8, 0x80000000 | slot << 11 | reg);
	return in32(0xcfc);
}

static inline void config_write(u32 slot, u32 reg, u32 value)
{
	out32(0xcf8, 0x80000000 | slot << 11 | reg);
	out32(0xcfc, value);
}

/* The slot of the function with this vendor and device, 0 if there is none. */
static inline u32 config_find(u32 id)
{
	for (u32 slot = 1; slot < 32; slot++)
		if (config_read(slot, 0) == id)
			return slot;
	return 0;
}

/* Where its capability with this number is, 0 if it has none; -1: the list has no end. */
static inline u32 config_capability(u32 slot, u32 id)
{
	u32 at = config_read(slot, 0x34) & 0xff, n = 0;

	for (; at && (config_read(slot, at) & 0xff) != id; at = config_read(slot, at) >> 8 & 0xff)
		if (++n > 48)
			return ~0u;
	return at;
}
