/* The records of domains: their table, their holders and their states.
 *
 *	BUILDING --domain_start()--> RUNNING --domain_reboot()--> RESTARTING
 *	                                ^                             |
 *	                                +-------domain_start()--------+
 *	any --domain_crash(), domain_shutdown(), domain_discard()--> DYING
 *
 * A change to DYING or RESTARTING stops the vCPUs and queues the domain's work item, which does the
 * rest (kernel/guest/lifecycle).
 */
#include <kernel/guest/domain/domain.h>

#include <kernel/abi/control.h>
#include <kernel/core/clock.h>
#include <kernel/core/log.h>
#include <kernel/guest/domain/event.h>
#include <kernel/guest/vcpu/entry.h>
#include <kernel/guest/vcpu/vcpustate.h>
#include <kernel/lib/atomic.h>
#include <kernel/lib/errno.h>
#include <kernel/lib/string.h>
#include <kernel/mm/alloc.h>
#include <kernel/x86/tsc.h>

/* Guards the table. */
static struct spinlock domains_lock = SPINLOCK_INIT(LOCK_DOMAINS);
static struct domain *domains[MAX_DOMAINS + 1]; /* by id; no domain has id 0 */
static u32 nr_domains; /* and one while domains are being built; atomic */
static u16 control_id;

/* --- the table of domains ------------------------------------------------- */

struct domain *domain_get(u16 id)
{
	struct domain *d;

	spin_lock(&domains_lock);
	d = id <= MAX_DOMAINS ? domains[id] : NULL;
	if (d)
		(void)atomic_add(&d->users, 1);
	spin_unlock(&domains_lock);
	/* Count first, then read the state. begin_end() sets the state, then reap_step() reads the
	 * count. */
	if (d && read_once(&d->state) == DOMAIN_DYING) {
		domain_put(d);
		d = NULL;
	}
	return d;
}

struct domain *domain_get_from(u16 id)
{
	struct domain *d = NULL;

	spin_lock(&domains_lock);
	while (!d && id <= MAX_DOMAINS)
		d = domains[id++];
	if (d)
		(void)atomic_add(&d->users, 1);
	spin_unlock(&domains_lock);
	return d;
}

void domain_put(struct domain *d)
{
	(void)atomic_sub(&d->users, 1);
}

void domain_describe(const struct domain *d, struct weir_domain_info *info)
{
	memset(info, 0, sizeof(*info));
	info->id = d->id;
	info->state = read_once(&d->state);
	if (info->state == WEIR_DOMAIN_RUNNING && read_once(&d->halted))
		info->state = WEIR_DOMAIN_HALTED;
	info->control = d->privileged;
	info->nr_vcpus = read_once(&d->vm.nr_vcpus);
	info->pages_owned = read_once(&d->vm.memory.pages_owned);
	info->pages_limit = read_once(&d->vm.memory.pages_limit);
	copy_string(info->name, d->name, sizeof(info->name));
}

void domain_make_control(struct domain *d)
{
	d->privileged = true;
	control_id = d->id;
}

struct domain *domain_get_control(void)
{
	return domain_get(control_id);
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

void domains_begin(void)
{
	(void)atomic_add(&nr_domains, 1);
}

bool domains_complete(void)
{
	return !atomic_sub(&nr_domains, 1);
}

static void wake(void *d)
{
	domain_wake(d);
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
	spin_init(&d->lock, LOCK_DOMAIN);
	bus_init(&d->vm.io, d->name, "I/O ports");
	bus_init(&d->vm.mmio, d->name, "memory");
	d->id = id;
	copy_string(d->name, name, sizeof(d->name));
	d->state = DOMAIN_BUILDING;
	d->vm.start_ns = clock_ns();
	ret = memory_init(&d->vm.memory, id, d->name, wake, d);
	if (ret) {
		memory_free(&d->vm.memory);
		kfree(d);
		return ret;
	}
	(void)atomic_add(&nr_domains, 1);
	*out = d;
	return 0;
}

void domain_register(struct domain *d)
{
	spin_lock(&domains_lock);
	store_release(&domains[d->id], d);
	spin_unlock(&domains_lock);
}

void domain_unregister(struct domain *d)
{
	spin_lock(&domains_lock);
	domains[d->id] = NULL;
	spin_unlock(&domains_lock);
}

bool domain_free(struct domain *d)
{
	memory_free(&d->vm.memory);
	kfree(d);
	return !atomic_sub(&nr_domains, 1);
}

void domain_wake(struct domain *d)
{
	for (u32 i = 0; i < d->vm.nr_vcpus; i++)
		vcpu_wake(d->vm.vcpu[i]);
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

/* --- states --------------------------------------------------------------- */

static void kill_vcpus(struct domain *d)
{
	for (u32 i = 0; i < d->vm.nr_vcpus; i++)
		vcpu_kill(d->vm.vcpu[i]);
}

/* Stop all its vCPUs. The work item then does what the state asks for. */
static void domain_stop(struct domain *d)
{
	kill_vcpus(d);
	work_queue(&d->reaper);
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

	d->vm.start_ns = clock_ns();
	d->vm.start_tsc = rdtsc();
	for (u32 i = 0; entry->x2apic && i < d->vm.nr_vcpus; i++)
		vlapic_start_in_x2apic_mode(d->vm.vcpu[i]);
	if (d->vm.extint.ops)
		vlapic_start_as_virtual_wire(d->vm.vcpu[0]);
	(void)domain_take_events(d); /* those of the devices it starts with */
	spin_lock(&d->lock);
	dying = d->state == DOMAIN_DYING;
	d->halted = false;
	if (!dying)
		d->state = DOMAIN_RUNNING;
	spin_unlock(&d->lock);
	if (!dying)
		vcpu_start(d->vm.vcpu[0], entry);
	else
		/* The domain began to die before its vCPUs were restarted, so the vCPUs that
		 * domain_stop() stopped then are alive again. */
		kill_vcpus(d);
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

	if (d->restart.policy == RESTART_NEVER) {
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
		log_err("domain %s: it has been restarted %u times in %u seconds and ends now",
			d->name, RESTARTS_MAX, RESTARTS_WINDOW_S);
		domain_shutdown(d, why, status);
		return;
	}
	log_info("domain %s: %s, status %lu: restarting", d->name, why, status);
	d->restart.stage = RESTART_DEVICES_GO;
	d->restart.gfn = d->restart.loaded = 0;
	d->restart.clearing = false;
	/* No event is raised with the old vector after this. Those who have read it already hold
	 * the domain, and the restart waits for them. */
	(void)domain_set_event_vector(d, 0);
	domain_stop(d);
}

void domain_fault(struct domain *d, u32 vcpu, const char *what, u64 rip)
{
	char why[80];

	if (d->restart.policy != RESTART_FAULT) {
		domain_crash(d, "vCPU %u: %s at RIP 0x%lx", vcpu, what, rip);
		return;
	}
	snprintf(why, sizeof(why), "vCPU %u: %s at RIP 0x%lx", vcpu, what, rip);
	domain_reboot(d, why, 0);
}

static bool all_stuck(const struct vm *vm)
{
	for (u32 i = 0; i < vm->nr_vcpus; i++)
		if (!vcpu_is_stuck(vm->vcpu[i]))
			return false;
	return true;
}

/* Each vCPU that halts looks at all others afterwards, so the last one finds all of them halted. */
void domain_look_if_halted(struct domain *d)
{
	bool first;

	if (!all_stuck(&d->vm))
		return;
	spin_lock(&d->lock);
	first = d->state == DOMAIN_RUNNING && !d->halted;
	d->halted |= first;
	spin_unlock(&d->lock);
	if (!first)
		return;
	domain_event_to_control(WEIR_EVENT_HALTED);
	if (d->halt_policy == HALT_RESTART)
		domain_reboot(d, "halted", 0);
	else if (d->halt_policy == HALT_END)
		domain_shutdown(d, "halted", 0);
	else
		log_warn("domain %s: halted: all its vCPUs wait with interrupts disabled, and "
			 "nothing can wake them; destroy it, or say halt=restart or halt=end on "
			 "its module line",
			 d->name);
}
