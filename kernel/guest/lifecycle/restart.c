/* The restart of a domain:
 *
 *	vCPUs killed -> (all stopped) -> devices detached -> (no cached translation left)
 *	-> devices reset -> released memory allocated again -> all memory cleared
 *	-> kernel and ramdisks loaded -> devices attached -> RUNNING
 *
 * The work item that tears a domain down takes these steps too, so a domain that is ended during
 * its restart goes on to its tear-down.
 */
#include <kernel/guest/lifecycle/restart.h>

#include <kernel/core/log.h>
#include <kernel/core/panic.h>
#include <kernel/guest/devices/pci/vpci.h>
#include <kernel/guest/domain/domain.h>
#include <kernel/guest/lifecycle/start.h>
#include <kernel/guest/memory/clear.h>
#include <kernel/guest/memory/memory.h>
#include <kernel/guest/memory/populate.h>
#include <kernel/lib/errno.h>

#define POLL_NS 1000000UL

/* Idle CPUs do it; restart_step() looks now and then. */
static int clear_step(struct domain *d)
{
	struct memory *m = &d->vm.memory;

	if (!d->restart.clearing)
		memory_clear_start(m);
	d->restart.clearing = memory_is_clearing(m);
	return d->restart.clearing ? STEP_WAIT : STEP_DONE;
}

/* Take one step of the current stage. STEP_DONE: the stage is complete. */
static int stage_step(struct domain *d, struct restart *r)
{
	switch (r->stage) {
	case RESTART_DEVICES_GO:
		return vpci_suspend(d);
	case RESTART_MEMORY:
		return memory_renew_step(&d->vm.memory, &r->gfn);
	case RESTART_CLEAR:
		return clear_step(d);
	case RESTART_LOAD:
		return start_load_step(d, &r->loaded, &r->entry);
	case RESTART_DEVICES_COME:
		return vpci_resume(d);
	case RESTART_RUN:
		start_run(d, &r->entry);
		return STEP_DONE;
	}
	BUG();
}

enum step restart_step(struct domain *d)
{
	struct restart *r = &d->restart;
	int ret = stage_step(d, r);

	if (ret == STEP_MORE)
		return STEP_MORE;
	if (ret == STEP_WAIT) {
		timer_set(&d->reap_timer, clock_ns() + POLL_NS);
		return STEP_WAIT;
	}
	if (ret) {
		domain_crash(d, "cannot be restarted: %s (error %d)",
			     ret == -ENOMEM ? "others use the memory that it had released" :
					      "see above",
			     -ret);
		return STEP_DONE;
	}
	if (r->stage == RESTART_RUN)
		return STEP_DONE;
	r->stage++;
	return STEP_MORE;
}
