/* A ring of the last exits of each CPU, printed by a panic and when a guest ends by a fault. */
#include <kernel/guest/vcpu/exitring.h>

#include <kernel/core/clock.h>
#include <kernel/core/log.h>
#include <kernel/core/panic.h>
#include <kernel/lib/errno.h>
#include <kernel/mm/alloc.h>
#include <kernel/x86/tsc.h>

const char *(*exit_reason_name)(u32 reason);

int exit_ring_init(void)
{
	struct exit_ring *ring = kzalloc(sizeof(*ring));

	if (!ring)
		return -ENOMEM;
	this_cpu()->exits = ring;
	panic_set_hook(exit_ring_dump);
	return 0;
}

static void print(const struct exit_record *r)
{
	u64 now = rdtsc(), mhz = clock_tsc_hz() / 1000000;
	const char *name = exit_reason_name ? exit_reason_name(r->reason) : NULL;

	log_err("    %8lu us ago  domain %u vcpu %u  %s (0x%x)  rip %016lx  info %lx %lx",
		mhz ? (now - r->tsc) / mhz : 0, r->vcpu >> 16, r->vcpu & 0xffff,
		name ? name : "exit", r->reason, r->rip, r->info1, r->info2);
}

void exit_ring_print(u32 vcpu, u32 most)
{
	const struct exit_ring *ring = this_cpu()->exits;
	u32 count = ring ? MIN(ring->next, (u32)EXIT_RING_SIZE) : 0;

	log_err("  its last exits on this CPU, newest first:");
	for (u32 i = 1; i <= count && most; i++) {
		const struct exit_record *r = &ring->record[(ring->next - i) % EXIT_RING_SIZE];

		if (r->vcpu != vcpu)
			continue;
		print(r);
		most--;
	}
}

void exit_ring_dump(void)
{
	const struct exit_ring *ring = this_cpu()->exits;
	u32 count;

	if (!ring || !ring->next)
		return;
	count = MIN(ring->next, (u32)EXIT_RING_SIZE);
	log_err("  last %u of %u exits on this CPU, newest first:", count, ring->next);
	for (u32 i = 1; i <= count; i++)
		print(&ring->record[(ring->next - i) % EXIT_RING_SIZE]);
}
