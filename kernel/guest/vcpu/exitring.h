/* A ring of the last exits of each CPU, printed by a panic and when a guest ends by a fault. */
#pragma once

#include <kernel/core/cpu.h>
#include <kernel/x86/tsc.h>

/* A record fills a line of the cache, and the ring a page. */
struct exit_record {
	struct exit_record *next; /* where the next exit goes; cpu.exits follows it */
	u64 tsc; /* 0: unused */
	u64 rip;
	u64 info1, info2;
	u64 reason; /* the back end's own code, as wide as it has it */
	u32 vcpu; /* exit_ring_vcpu() */
} __aligned(64);

#define EXIT_RING_SIZE (PAGE_SIZE / sizeof(struct exit_record))

/* A vCPU in the records. */
static inline u32 exit_ring_vcpu(u16 domain, u16 id)
{
	return (u32)domain << 16 | id;
}

/* Record an exit of this CPU. Any context except NMI. */
static inline void exit_ring_record(u32 vcpu, u64 reason, u64 rip, u64 info1, u64 info2)
{
	struct cpu *cpu = this_cpu();
	struct exit_record *r = cpu->exits;

	cpu->exits = r->next;
	r->tsc = rdtsc();
	r->rip = rip;
	r->info1 = info1;
	r->info2 = info2;
	r->reason = reason;
	r->vcpu = vcpu;
}

/* Returns the name of a reason code for the dump. The CPU back end sets it; NULL: there are no
 * names. */
extern const char *(*exit_reason_name)(u32 reason);

/* Allocate the calling CPU's ring. Each CPU, at boot. -ENOMEM. */
int __must_check exit_ring_init(void);
/* Print this CPU's last exits of one vCPU, newest first, but not more than `most`. */
void exit_ring_print(u32 vcpu, u32 most);
/* Print this CPU's last exits, newest first. */
void exit_ring_dump(void);
