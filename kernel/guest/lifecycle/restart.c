/* Starting a domain again:
 *
 *	vCPUs killed -> (all stopped) -> devices detached -> (no cached translation left) -> devices reset
 *	-> memory that it gave back is taken again, all of it cleared -> devices attached -> kernel and ramdisks loaded -> RUNNING
 *
 * In the place of a boot's steps, one after the other, by the work item that would tear it down: a domain that is ended meanwhile
 * goes over to that.
 */
#include <kernel/guest/lifecycle/restart.h>

#include <kernel/guest/devices/pci/assign.h>
#include <kernel/guest/domain/domain.h>
#include <kernel/lib/errno.h>
#include <kernel/guest/domain/event.h>
#include <kernel/guest/devices/guestacpi.h>
#include <kernel/guest/loader/guest.h>
#include <kernel/core/log.h>
#include <kernel/guest/memory/memory.h>
#include <kernel/guest/lifecycle/modules.h>
#include <kernel/core/panic.h>
#include <kernel/lib/string.h>
#include <kernel/guest/devices/virtio/vballoon.h>
#include <kernel/guest/vcpu/vcpu.h>

#define POLL_NS 1000000UL

static enum restart_policy policy(const struct domain *d)
{
	return d->kernel->line.restart;
}

static bool too_often(struct restart *r)
{
	u64 now = clock_ns(), *oldest = &r->at_ns[r->nr % RESTARTS_MAX];

	if (r->nr >= RESTARTS_MAX && now - *oldest < RESTARTS_WINDOW_S * 1000000000UL)
		return true;
	*oldest = now;
	r->nr++;
	return false;
}

void domain_reboot(struct domain *d, const char *why, u64 status)
{
	bool first;

	if (policy(d) == RESTART_NEVER) {
		domain_shutdown(d, why, status);
		return;
	}
	spin_lock(&d->lock);
	first = d->state == DOMAIN_RUNNING;
	if (first)
		d->state = DOMAIN_RESTARTING;
	spin_unlock(&d->lock);
	if (!first)
		return;
	if (too_often(&d->restart)) {
		log_err("domain %s: was started again %u times in %u seconds: it is not once more",
			d->name, RESTARTS_MAX, RESTARTS_WINDOW_S);
		domain_shutdown(d, why, status);
		return;
	}
	log_info("domain %s: %s, status %lu: it is started again", d->name, why, status);
	d->restart.stage = RESTART_DEVICES_GO;
	d->restart.gfn = d->restart.loaded = 0;
	/* Who reads the vector from now on raises no event in the next life; who did is waited for, as a user of d. */
	(void)domain_set_event_vector(d, 0);
	domain_stop(d);
}

void domain_fault(struct domain *d, u32 vcpu, const char *what, u64 rip)
{
	char why[80];

	if (policy(d) != RESTART_FAULT) {
		domain_crash(d, "vCPU %u: %s at RIP 0x%lx", vcpu, what, rip);
		return;
	}
	snprintf(why, sizeof(why), "vCPU %u: %s at RIP 0x%lx", vcpu, what, rip);
	domain_reboot(d, why, 0);
}

static int start(struct domain *d, const struct guest_entry *entry)
{
	int ret = guestfirmware_write(d, d->nr_vcpus);

	if (ret)
		return ret;
	vuart_reset(&d->uart);
	vballoon_power_on(d);
	for (u32 i = 0; i < d->nr_vcpus; i++)
		vcpu_revive(d->vcpu[i]);
	domain_start(d, entry);
	return 0;
}

/* STEP_DONE: the stage is over; or the error. */
static int stage_step(struct domain *d, struct restart *r)
{
	struct guest_entry entry;
	int ret;

	switch (r->stage) {
	case RESTART_DEVICES_GO:
		return assign_suspend(d);
	case RESTART_MEMORY:
		return memory_renew_step(d, &r->gfn);
	case RESTART_DEVICES_COME:
		return assign_resume(d);
	case RESTART_LOAD:
		ret = modules_load_step(d, &r->loaded, &entry);
		return ret ? ret : start(d, &entry);
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
		domain_crash(d, "it cannot be started again: %s (error %d)",
			     ret == -ENOMEM ? "what it gave back of its memory is taken" : "see above",
			     -ret);
		return STEP_DONE;
	}
	if (r->stage == RESTART_LOAD)
		return STEP_DONE;
	r->stage++;
	return STEP_MORE;
}
