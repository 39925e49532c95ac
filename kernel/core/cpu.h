/* Per-CPU data. */
#pragma once

#include <kernel/lib/compiler.h>
#include <kernel/lib/list.h>

#define MAX_CPUS 256

struct vcpu;
struct exit_record;
struct irq_slot {
	void (*handler)(void *arg);
	void *arg;
};

/* One per CPU; GS base points to it while in the hypervisor. */
struct cpu {
	struct cpu *self;
	u32 id; /* dense, 0 is the bootstrap processor */
	u32 apic_id;
	bool started; /* it runs, and its TSC agrees */
	bool online; /* it has done all that others count on */
	bool work_pending; /* see kernel/core/work.h */
	struct vcpu *current; /* the vCPU whose state is loaded, or NULL */
	void *arch; /* the SVM or VMX back end's own */
	struct exit_record *exits; /* the next one of kernel/guest/vcpu/exitring.h */
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
