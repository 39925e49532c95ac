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
