/* The tear-down of domains. The completion of each step starts the next one:
 *
 *	vCPUs killed -> (all stopped) -> devices detached -> (no cached translation left)
 *	-> I/O tables released -> (batches done) -> frames freed -> nested tables freed
 *	-> name and id free
 *
 * The vCPUs of a domain that restarts are stopped in the same way; restart.c takes over from there.
 */
#include <kernel/guest/lifecycle/teardown.h>

#include <iommu/iommu.h>
#include <kernel/core/clock.h>
#include <kernel/core/debugexit.h>
#include <kernel/core/irqoff.h>
#include <kernel/core/log.h>
#include <kernel/core/panic.h>
#include <kernel/guest/devices/guestconsole.h>
#include <kernel/guest/devices/legacy/legacy.h>
#include <kernel/guest/devices/pci/vpci.h>
#include <kernel/guest/devices/virtio/vballoon.h>
#include <kernel/guest/devices/vuart.h>
#include <kernel/guest/domain/domain.h>
#include <kernel/guest/lifecycle/modules.h>
#include <kernel/guest/lifecycle/restart.h>
#include <kernel/guest/memory/clear.h>
#include <kernel/guest/memory/memrelease.h>
#include <kernel/guest/memory/pool.h>
#include <kernel/guest/vcpu/vcpustate.h>
#include <kernel/lib/atomic.h>
#include <kernel/mm/alloc.h>

#define STOP_POLL_NS 1000000

static void reap_next(void *arg)
{
	struct domain *d = arg;

	d->reap_stage++;
	work_queue(&d->reaper);
}

/* The last step: only the record is left. */
static void vanish(struct domain *d)
{
	vuart_destroy(d);
	legacy_destroy(d);
	vballoon_free(d);
	if (domain_free(d))
		teardown_all_ended();
}

void teardown_all_ended(void)
{
	log_info("weir: the last domain has ended, %lu pages are free", alloc_free_frames());
	irqoff_report();
	debug_exit_when(DEBUG_EXIT_IDLE);
}

static void reap_again(struct timer *t)
{
	struct domain *d = container_of(t, struct domain, reap_timer);

	if (d->reap_stage != REAP_DONE)
		work_queue(&d->reaper);
	else if (read_once(&d->users)) /* a late domain_get(), about to see that it is dying */
		timer_set(t, clock_ns() + STOP_POLL_NS);
	else
		vanish(d);
}

static bool all_stopped(struct domain *d)
{
	if (read_once(&d->users))
		return false;
	for (u32 i = 0; i < d->vm.nr_vcpus; i++)
		if (!vcpu_is_stopped(d->vm.vcpu[i]))
			return false;
	return legacy_stop(d);
}

/* It may end while idle CPUs clear its memory. */
static bool stop_clearing(struct domain *d)
{
	return read_once(&d->state) != DOMAIN_DYING || memory_clear_stop(&d->vm.memory);
}

/* All vCPUs are stopped: the guest has written its last character. */
static void end_output(struct domain *d)
{
	if (d->uart)
		vuart_flush(d->uart);
	if (d->privileged)
		guestconsole_release();
}

static void finish(struct domain *d)
{
	for (u32 i = 0; i < d->vm.nr_vcpus; i++)
		vcpu_destroy(d->vm.vcpu[i]);
	BUG_ON(d->vm.memory.pages_owned);
	log_info("domain %s: its %lu pages are free again", d->name, d->vm.memory.pages_limit);

	domain_unregister(d);
	pool_return();
	work_forget(&d->reaper);
	/* The record is not freed here, because it holds the work item that is running. */
	d->reap_stage = REAP_DONE;
	timer_set(&d->reap_timer, clock_ns());
}

static enum step reap_step(struct work *w)
{
	struct domain *d = container_of(w, struct domain, reaper);

	switch (d->reap_stage) {
	case REAP_VCPUS:
		if (read_once(&d->state) == DOMAIN_RUNNING) /* the restart is complete */
			return STEP_WAIT;
		if (!all_stopped(d) || !stop_clearing(d)) {
			timer_set(&d->reap_timer, clock_ns() + STOP_POLL_NS);
			return STEP_WAIT;
		}
		end_output(d);
		if (read_once(&d->state) == DOMAIN_RESTARTING)
			return restart_step(d);
		d->reap_stage = REAP_DEVICES;
		vpci_end(d, reap_next, d);
		return STEP_WAIT;
	case REAP_DEVICES: /* reap_next() leaves this stage */
		return STEP_WAIT;
	case REAP_IO_TABLES:
		d->reap_stage = REAP_WAIT_IO_TABLES;
		pool_close(&d->vm.memory);
		iommu_domain_destroy(d->vm.memory.iommu, reap_next, d);
		return STEP_WAIT;
	case REAP_WAIT_IO_TABLES:
	case REAP_DONE:
		return STEP_WAIT;
	case REAP_MEMORY:
		if (memory_empty_step(&d->vm.memory, &d->reap_gfn) || modules_free_step(d) ||
		    pool_end_step(&d->vm.memory))
			return STEP_MORE;
		finish(d);
		return STEP_DONE;
	}
	BUG();
}

void teardown_init(struct domain *d)
{
	work_init(&d->reaper, reap_step);
	timer_init(&d->reap_timer, reap_again);
}
