/* Per-CPU data, and the CPU's instructions. */
#pragma once

#include <kernel/lib/compiler.h>
#include <kernel/lib/list.h>

#define MAX_CPUS 64

struct vcpu;
struct exit_ring;
struct irq_slot {
	void (*handler)(void *arg);
	void *arg;
};

/* One per CPU; GS base points to it while in the hypervisor. */
struct cpu {
	struct cpu *self;
	u32 id; /* dense, 0 is the bootstrap processor */
	u32 apic_id;
	bool online;
	bool work_pending; /* see kernel/core/work.h */
	struct vcpu *current; /* the vCPU whose state is loaded, or NULL */
	void *arch; /* the SVM or VMX back end's own */
	struct exit_ring *exits; /* see kernel/guest/vcpu/exitring.h */
	struct irq_slot irq[256];
};

extern struct cpu *cpus[MAX_CPUS];
extern u32 nr_cpus; /* online CPUs: ids 0 .. nr_cpus - 1 */

static inline struct cpu *this_cpu(void)
{
	struct cpu *c;

	__asm__("mov %%gs:0, %0" : "=r"(c));
	return c;
}

static inline u64 rdmsr(u32 msr)
{
	u32 lo, hi;

	__asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr));
	return (u64)hi << 32 | lo;
}

static inline void wrmsr(u32 msr, u64 value)
{
	__asm__ volatile("wrmsr" ::"c"(msr), "a"((u32)value), "d"((u32)(value >> 32)) : "memory");
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

static inline u64 rdtsc(void)
{
	u32 lo, hi;

	__asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return (u64)hi << 32 | lo;
}

static inline u8 inb(u16 port)
{
	u8 v;

	__asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

static inline u16 inw(u16 port)
{
	u16 v;

	__asm__ volatile("inw %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

static inline u32 inl(u16 port)
{
	u32 v;

	__asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

static inline void outb(u16 port, u8 v)
{
	__asm__ volatile("outb %0, %1" ::"a"(v), "Nd"(port));
}

static inline void outw(u16 port, u16 v)
{
	__asm__ volatile("outw %0, %1" ::"a"(v), "Nd"(port));
}

static inline void outl(u16 port, u32 v)
{
	__asm__ volatile("outl %0, %1" ::"a"(v), "Nd"(port));
}
