/* Domains: their table, their end.
 *
 * A dying domain is torn down step by step, each step started by the completion of the one before:
 *
 *	vCPUs killed -> (all stopped) -> devices detached -> (no cached translation left) -> I/O tables released ->
 *	(batches done) -> frames freed -> nested tables freed -> the name and id are free again
 *
 * One that is started again has its vCPUs stopped in the same way; kernel/guest/lifecycle/restart.c goes on from there.
 */

#include <kernel/guest/domain/domain.h>

#include <iommu/iommu.h>
#include <kernel/abi/control.h>
#include <kernel/mm/alloc.h>
#include <kernel/guest/devices/pci/assign.h>
#include <kernel/core/clock.h>
#include <kernel/core/debugexit.h>
#include <kernel/lib/errno.h>
#include <kernel/guest/domain/event.h>
#include <kernel/guest/devices/guestconsole.h>
#include <kernel/guest/loader/guest.h>
#include <kernel/core/log.h>
#include <kernel/guest/memory/memory.h>
#include <kernel/guest/lifecycle/modules.h>
#include <kernel/core/panic.h>
#include <kernel/guest/memory/pool.h>
#include <kernel/lib/string.h>
#include <kernel/guest/devices/virtio/vballoon.h>
#include <kernel/guest/vcpu/vcpu.h>
#include <kernel/x86/tsc.h>

#define STOP_POLL_NS 1000000

/* Guards the table and nr_domains; leaf. */
static struct spinlock domains_lock;
static struct domain *domains[MAX_DOMAINS + 1]; /* by id; 0 is no domain's */
static u32 nr_domains;

static enum step reap_step(struct work *w);
static void reap_again(struct timer *t);

struct domain *domain_get(u16 id)
{
	struct domain *d;

	spin_lock(&domains_lock);
	d = id <= MAX_DOMAINS ? domains[id] : NULL;
	if (d)
		(void)atomic_add(&d->users, 1);
	spin_unlock(&domains_lock);
	/* Counted first: begin_end() sets the state, then reap_step() looks at the count. */
	if (d && read_once(&d->state) == DOMAIN_DYING) {
		domain_put(d);
		d = NULL;
	}
	return d;
}

void domain_put(struct domain *d)
{
	(void)atomic_sub(&d->users, 1);
}

u16 domain_info(u16 id, struct weir_domain_info *info)
{
	const struct domain *d = NULL;

	memset(info, 0, sizeof(*info));
	spin_lock(&domains_lock);
	while (!d && id <= MAX_DOMAINS)
		d = domains[id++];
	if (d) {
		info->id = d->id;
		info->state = read_once(&d->state);
		info->control = d->privileged;
		info->nr_vcpus = read_once(&d->nr_vcpus);
		info->pages_owned = read_once(&d->pages_owned);
		info->pages_limit = read_once(&d->pages_limit);
		info->has_balloon = vballoon_pages(d, &info->balloon_asked, &info->balloon_given);
		copy_string(info->name, d->name, sizeof(info->name));
	}
	spin_unlock(&domains_lock);
	return d ? id - 1 : 0;
}

static bool name_taken(const char *name)
{
	bool taken = false;

	spin_lock(&domains_lock);
	for (u16 id = 1; id <= MAX_DOMAINS; id++)
		taken |= domains[id] && !strcmp(domains[id]->name, name);
	spin_unlock(&domains_lock);
	return taken;
}

u32 domain_count(void)
{
	return read_once(&nr_domains);
}

static void wake(void *d)
{
	domain_wake(d);
}

static void free_domain(struct domain *d)
{
	nested_free(&d->nested);
	vballoon_free(d);
	kfree(d);
}

int domain_create(const char *name, struct domain **out)
{
	struct domain *d;
	u16 id = 1;
	int ret;

	if (name_taken(name))
		return -EEXIST;
	while (id <= MAX_DOMAINS && domains[id])
		id++;
	if (id > MAX_DOMAINS)
		return -ENOSPC;

	d = kzalloc(sizeof(*d));
	if (!d)
		return -ENOMEM;
	d->id = id;
	copy_string(d->name, name, sizeof(d->name));
	d->state = DOMAIN_BUILDING;
	d->start_ns = clock_ns();
	work_init(&d->reaper, reap_step);
	timer_init(&d->reap_timer, reap_again);

	ret = nested_init(&d->nested, id);
	if (!ret)
		ret = vuart_init(&d->uart, d);
	if (!ret)
		ret = iommu_domain_create(&d->iommu, id, d->name, wake, d);
	if (ret) {
		free_domain(d);
		return ret;
	}

	spin_lock(&domains_lock);
	store_release(&domains[id], d);
	nr_domains++;
	spin_unlock(&domains_lock);
	*out = d;
	return 0;
}

void domain_wake(struct domain *d)
{
	for (u32 i = 0; i < d->nr_vcpus; i++)
		vcpu_wake(d->vcpu[i]);
}

void domain_wake_all(void)
{
	for (u16 id = 1; id <= MAX_DOMAINS; id++) {
		struct domain *d = domain_get(id);

		if (!d)
			continue;
		domain_wake(d);
		domain_put(d);
	}
}

static bool begin_end(struct domain *d)
{
	bool first;

	spin_lock(&d->lock);
	first = d->state != DOMAIN_DYING;
	if (first)
		d->state = DOMAIN_DYING;
	spin_unlock(&d->lock);
	return first;
}

static void kill_vcpus(struct domain *d)
{
	for (u32 i = 0; i < d->nr_vcpus; i++)
		vcpu_kill(d->vcpu[i]);
}

void domain_stop(struct domain *d)
{
	kill_vcpus(d);
	vuart_flush(&d->uart);
	if (d->privileged)
		guestconsole_release();
	work_queue(&d->reaper);
}

void domain_crash(struct domain *d, const char *fmt, ...)
{
	__builtin_va_list ap;
	char why[160];

	if (!begin_end(d))
		return;
	__builtin_va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	__builtin_va_end(ap);
	log_err("domain %s: ended by Weir: %s", d->name, why);
	domain_stop(d);
}

void domain_shutdown(struct domain *d, const char *why, u64 status)
{
	if (!begin_end(d))
		return;
	log_info("domain %s: %s, status %lu", d->name, why, status);
	domain_stop(d);
}

void domain_discard(struct domain *d)
{
	if (begin_end(d))
		domain_stop(d);
}

void domain_start(struct domain *d, const struct guest_entry *entry)
{
	bool dying;

	d->start_ns = clock_ns();
	d->start_tsc = rdtsc();
	for (u32 i = 0; entry->x2apic && i < d->nr_vcpus; i++)
		vlapic_start_in_x2apic_mode(d->vcpu[i]);
	(void)domain_take_events(d); /* the devices that it starts with */
	spin_lock(&d->lock);
	dying = d->state == DOMAIN_DYING;
	if (!dying)
		d->state = DOMAIN_RUNNING;
	spin_unlock(&d->lock);
	if (!dying)
		vcpu_start(d->vcpu[0], entry);
	else
		/* When it began to die they were dead, and are so no more: domain_stop() was too early. */
		kill_vcpus(d);
}

static void reap_next(void *arg)
{
	struct domain *d = arg;

	d->reap_stage++;
	work_queue(&d->reaper);
}

/* Nothing of it is left. */
static void vanish(struct domain *d)
{
	bool last;

	free_domain(d);
	spin_lock(&domains_lock);
	last = !--nr_domains;
	spin_unlock(&domains_lock);
	if (last) {
		log_info("weir: the last domain has ended, %lu pages are free", alloc_free_frames());
		debug_exit_when(DEBUG_EXIT_IDLE);
	}
}

static void reap_again(struct timer *t)
{
	struct domain *d = container_of(t, struct domain, reap_timer);

	if (d->reap_stage != REAP_DONE)
		work_queue(&d->reaper);
	else if (read_once(&d->users)) /* a late domain_get(), about to find it dying */
		timer_set(t, clock_ns() + STOP_POLL_NS);
	else
		vanish(d);
}

/* Nobody runs in it, and nobody else looks at it. */
static bool all_stopped(const struct domain *d)
{
	if (read_once(&d->users))
		return false;
	for (u32 i = 0; i < d->nr_vcpus; i++)
		if (!vcpu_is_stopped(d->vcpu[i]))
			return false;
	return true;
}

static void finish(struct domain *d)
{
	for (u32 i = 0; i < d->nr_vcpus; i++)
		vcpu_destroy(d->vcpu[i]);
	BUG_ON(d->pages_owned);
	log_info("domain %s: its %lu pages are free again", d->name, d->pages_limit);

	spin_lock(&domains_lock);
	domains[d->id] = NULL;
	spin_unlock(&domains_lock);
	pool_return();
	work_forget(&d->reaper);
	/* Not here: the work item that is running is part of it. */
	d->reap_stage = REAP_DONE;
	timer_set(&d->reap_timer, clock_ns());
}

/* True: this work item is done for now; the next stage queues it again. */
static enum step reap_step(struct work *w)
{
	struct domain *d = container_of(w, struct domain, reaper);

	switch (d->reap_stage) {
	case REAP_VCPUS:
		if (read_once(&d->state) == DOMAIN_RUNNING) /* it was started again */
			return STEP_WAIT;
		if (!all_stopped(d)) {
			timer_set(&d->reap_timer, clock_ns() + STOP_POLL_NS);
			return STEP_WAIT;
		}
		if (read_once(&d->state) == DOMAIN_RESTARTING)
			return restart_step(d);
		d->reap_stage = REAP_DEVICES;
		assign_take_all(d, reap_next, d);
		return STEP_WAIT;
	case REAP_DEVICES: /* reap_next() leaves this stage */
		return STEP_WAIT;
	case REAP_IO_TABLES:
		d->reap_stage = REAP_WAIT_IO_TABLES;
		pool_close(d);
		iommu_domain_destroy(d->iommu, reap_next, d);
		return STEP_WAIT;
	case REAP_WAIT_IO_TABLES:
	case REAP_DONE:
		return STEP_WAIT;
	case REAP_MEMORY:
		if (memory_empty_step(d, &d->reap_gfn) || modules_free_step(d) || pool_end_step(d))
			return STEP_MORE;
		finish(d);
		return STEP_DONE;
	}
	BUG();
}
