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
#include <kernel/guest/devices/guestacpi.h>
#include <kernel/guest/loader/guest.h>
#include <kernel/core/log.h>
#include <kernel/guest/memory/populate.h>
#include <kernel/guest/memory/memory.h>
#include <kernel/guest/lifecycle/modules.h>
#include <kernel/core/panic.h>
#include <kernel/guest/devices/virtio/vballoon.h>
#include <kernel/guest/devices/vuart.h>
#include <kernel/guest/vcpu/vcpustate.h>
#include <kernel/guest/vcpu/vcpu.h>

#define POLL_NS 1000000UL

static int start(struct domain *d, const struct guest_entry *entry)
{
	int ret = guestfirmware_write(d, d->vm.nr_vcpus);

	if (ret)
		return ret;
	vuart_reset(d->uart);
	vballoon_power_on(d);
	for (u32 i = 0; i < d->vm.nr_vcpus; i++)
		vcpu_revive(d->vm.vcpu[i]);
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
		return memory_renew_step(&d->vm.memory, &r->gfn);
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
