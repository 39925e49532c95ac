/* A ring of the last exits of each CPU, printed by a panic and when a guest ends by a fault. */
#include <kernel/guest/vcpu/exitring.h>

#include <kernel/core/clock.h>
#include <kernel/core/log.h>
#include <kernel/core/panic.h>
#include <kernel/lib/errno.h>
#include <kernel/mm/alloc.h>
#include <kernel/x86/tsc.h>

_Static_assert(EXIT_RING_SIZE * sizeof(struct exit_record) == PAGE_SIZE, "previous()");

const char *(*exit_reason_name)(u32 reason);

int exit_ring_init(void)
{
	struct exit_record *ring = alloc_page();

	if (!ring)
		return -ENOMEM;
	for (u32 i = 0; i < EXIT_RING_SIZE; i++)
		ring[i].next = &ring[(i + 1) % EXIT_RING_SIZE];
	this_cpu()->exits = ring;
	panic_set_hook(exit_ring_dump);
	return 0;
}

/* The record of the exit before this one. */
static const struct exit_record *previous(const struct exit_record *r)
{
	return (u64)r % PAGE_SIZE ? r - 1 : r + EXIT_RING_SIZE - 1;
}

static void print(const struct exit_record *r)
{
	u64 now = rdtsc(), mhz = clock_tsc_hz() / 1000000;
	const char *name = exit_reason_name ? exit_reason_name((u32)r->reason) : NULL;

	log_err("    %8lu us ago  domain %u vcpu %u  %s (0x%x)  rip %016lx  info %lx %lx",
		mhz ? (now - r->tsc) / mhz : 0, r->vcpu >> 16, r->vcpu & 0xffff,
		name ? name : "exit", (u32)r->reason, r->rip, r->info1, r->info2);
}

/* Print the newest exits of one vCPU, or of all, but not more than `most`, below a heading if there
 * are any. */
static void print_newest(bool all, u32 vcpu, u32 most, const char *heading)
{
	const struct exit_record *r = this_cpu()->exits;

	if (!r)
		return;
	for (u32 i = 0; i < EXIT_RING_SIZE && most; i++) {
		r = previous(r);
		if (!r->tsc || (!all && r->vcpu != vcpu))
			continue;
		if (heading)
			log_err("%s", heading);
		heading = NULL;
		print(r);
		most--;
	}
}

void exit_ring_print(u32 vcpu, u32 most)
{
	print_newest(false, vcpu, most, "  its last exits on this CPU, newest first:");
}

void exit_ring_dump(void)
{
	print_newest(true, 0, EXIT_RING_SIZE, "  last exits on this CPU, newest first:");
}
