/* The last exits of each CPU, kept for the panic message. */
#pragma once

#include <kernel/core/cpu.h>
#include <kernel/x86/tsc.h>

#define EXIT_RING_SIZE 64

struct exit_record {
	u64 tsc;
	u64 rip;
	u64 info1, info2;
	u32 reason; /* the back end's own code */
	u16 domain, vcpu;
};

struct exit_ring {
	u32 next; /* counts up; the slot is next % EXIT_RING_SIZE */
	struct exit_record record[EXIT_RING_SIZE];
};

/* Note one exit of this CPU. Any context but NMI. */
static inline void exit_ring_record(u16 domain, u16 vcpu, u32 reason, u64 rip, u64 info1, u64 info2)
{
	struct exit_ring *ring = this_cpu()->exits;
	struct exit_record *r = &ring->record[ring->next++ % EXIT_RING_SIZE];

	r->tsc = rdtsc();
	r->rip = rip;
	r->info1 = info1;
	r->info2 = info2;
	r->reason = reason;
	r->domain = domain;
	r->vcpu = vcpu;
}

/* How the dump names a reason code; set by the CPU back end. NULL: as a number. */
extern const char *(*exit_reason_name)(u32 reason);

/* Give the calling CPU its ring, which a panic prints. Boot, each CPU. -ENOMEM. */
int __must_check exit_ring_init(void);
/* Print this CPU's last exits, newest first. */
void exit_ring_dump(void);
