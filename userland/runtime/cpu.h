/* Instructions that C has no words for. */
#pragma once

#include <kernel/lib/compiler.h>

static inline void outb(u16 port, u8 value)
{
	__asm__ volatile("outb %0, %1" ::"a"(value), "Nd"(port));
}
static inline void outw(u16 port, u16 value)
{
	__asm__ volatile("outw %0, %1" ::"a"(value), "Nd"(port));
}
static inline void outl(u16 port, u32 value)
{
	__asm__ volatile("outl %0, %1" ::"a"(value), "Nd"(port));
}

static inline u8 inb(u16 port)
{
	u8 value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline u16 inw(u16 port)
{
	u16 value;

	__asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline u32 inl(u16 port)
{
	u32 value;

	__asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline u64 rdmsr(u32 msr)
{
	u32 low, high;

	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
	return (u64)high << 32 | low;
}

static inline void wrmsr(u32 msr, u64 value)
{
	__asm__ volatile("wrmsr" ::"c"(msr), "a"((u32)value), "d"((u32)(value >> 32)) : "memory");
}

static inline u64 rdtsc(void)
{
	u32 low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (u64)high << 32 | low;
}

struct cpuid {
	u32 eax, ebx, ecx, edx;
};

static inline struct cpuid cpuid(u32 leaf, u32 subleaf)
{
	struct cpuid r;

	__asm__ volatile("cpuid"
			 : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
			 : "a"(leaf), "c"(subleaf));
	return r;
}

static inline void cpu_pause(void)
{
	__asm__ volatile("pause" ::: "memory");
}
static inline void interrupts_off(void)
{
	__asm__ volatile("cli" ::: "memory");
}
static inline void interrupts_on(void)
{
	__asm__ volatile("sti" ::: "memory");
}
/* Wait for an interrupt: none can slip in between the two instructions. */
static inline void interrupts_on_and_halt(void)
{
	__asm__ volatile("sti; hlt" ::: "memory");
}

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

/* What was written, or read, before is so for a device too before what follows. x86 keeps these
 * orders by itself, so only the compiler has to be told. */
static inline void write_barrier(void)
{
	__asm__ volatile("" ::: "memory");
}
static inline void read_barrier(void)
{
	__asm__ volatile("" ::: "memory");
}
