/* How a domain starts. At boot start_step() takes all steps, one after the other; a restart
 * (restart.c) takes those that it needs again:
 *
 *	record -> memory -> all of it cleared -> kernel, ramdisks, firmware loaded
 *	-> devices attached -> vCPUs -> power on
 */
#include <kernel/guest/lifecycle/start.h>

#include <iommu/iommu.h>
#include <kernel/core/irqoff.h>
#include <kernel/core/log.h>
#include <kernel/core/panic.h>
#include <kernel/guest/devices/guestbios.h>
#include <kernel/guest/devices/guestfirmware.h>
#include <kernel/guest/devices/guestpower.h>
#include <kernel/guest/devices/legacy/legacy.h>
#include <kernel/guest/devices/pci/assign.h>
#include <kernel/guest/devices/pci/assignable.h>
#include <kernel/guest/devices/pci/vpci.h>
#include <kernel/guest/devices/virtio/vballoon.h>
#include <kernel/guest/devices/vuart.h>
#include <kernel/guest/domain/domain.h>
#include <kernel/guest/exit/control.h>
#include <kernel/guest/lifecycle/moduleload.h>
#include <kernel/guest/lifecycle/modules.h>
#include <kernel/guest/lifecycle/teardown.h>
#include <kernel/guest/memory/clear.h>
#include <kernel/guest/memory/memory.h>
#include <kernel/guest/memory/pool.h>
#include <kernel/guest/memory/populate.h>
#include <kernel/guest/vcpu/backend.h>
#include <kernel/guest/vcpu/vcpu.h>
#include <kernel/guest/vcpu/vcpustate.h>
#include <kernel/guest/vcpu/vlapicpage.h>
#include <kernel/lib/errno.h>

/* --- at boot and again ---------------------------------------------------- */

int start_load_step(struct domain *d, u64 *done, struct guest_entry *entry)
{
	int ret = *done ? 0 : guestbios_write(d);

	if (!ret)
		ret = module_load_step(d, done, entry);
	return ret == STEP_DONE ? guestfirmware_write(d, d->kernel->line.vcpus) : ret;
}

void start_run(struct domain *d, const struct guest_entry *entry)
{
	vuart_reset(d->uart);
	legacy_reset(d);
	vballoon_power_on(d);
	for (u32 i = 0; i < d->vm.nr_vcpus; i++)
		vcpu_power_on(d->vm.vcpu[i]);
	domain_start(d, entry);
}

/* --- at boot -------------------------------------------------------------- */

/* Check what can be checked before anything is made. */
static bool can_build(const struct module_line *line)
{
	const char *why = line->nr_devices ? iommu_why_absent() : NULL;

	if (!vcpu_backend) {
		log_err("domain %s: left out: this machine cannot run guests: %s", line->domain,
			vcpu_why_no_backend());
		return false;
	}
	if (why) {
		log_err("domain %s: left out: devices cannot be passed through: %s; "
			"remove pci= to run it without",
			line->domain, why);
		return false;
	}
	if (line->cpu >= (s32)nr_cpus) {
		log_err("domain %s: left out: cpu=%d, but the CPUs are 0 to %u (maxcpus= and "
			"smt=off leave some off)",
			line->domain, line->cpu, nr_cpus - 1);
		return false;
	}
	return true;
}

/* A record with what every domain has, or NULL; the log has the reason. */
static struct domain *create(u32 index)
{
	const struct module *kernel = module_at(index);
	struct domain *d;
	int ret = domain_create(kernel->line.domain, &d);

	if (ret) {
		log_err("module %u: name=%s: %s", index, kernel->line.domain,
			ret == -EEXIST ? "another domain has this name: choose a different one" :
			ret == -ENOSPC ? "the table of domains (MAX_DOMAINS) is full" :
					 "no memory");
		return NULL;
	}
	d->kernel = kernel;
	d->restart.policy = kernel->line.restart;
	d->halt_policy = kernel->line.halt;
	teardown_init(d);
	ret = vuart_create(d);
	if (!ret)
		ret = guestpower_init(d, kernel->line.legacy);
	if (!ret)
		ret = vlapicpage_add(&d->vm);
	if (!ret && kernel->line.legacy)
		ret = legacy_create(d);
	if (ret) {
		log_err("domain %s: cannot create its UART, ports, APIC page and legacy devices "
			"(error %d)",
			d->name, -ret);
		domain_discard(d);
	}
	/* Also on errors: the tear-down releases whatever was made. */
	domain_register(d);
	return ret ? NULL : d;
}

static bool assign_device(struct domain *d, struct pci_id id, u32 flags)
{
	struct pci_device *dev = pci_find(id);
	char name[16], buf[160];
	const char *why = assignable_why_not(d, dev, flags, buf, sizeof(buf));

	if (!why && assign_start(d, dev, flags))
		why = "there is no memory for it";
	if (why)
		log_err("domain %s: left out: pci=%s: %s", d->name, pci_name(id, name), why);
	return !why;
}

/* The tables need what the units of these devices can do. */
static void expect_devices(struct domain *d, const struct module_line *line)
{
	if (d->vm.memory.machine_addresses)
		return;
	for (u32 i = 0; i < line->nr_devices; i++)
		iommu_expect(d->vm.memory.iommu, line->device[i]);
}

static bool assign_devices(struct domain *d, const struct module_line *line)
{
	if (vpci_init(d)) {
		log_err("domain %s: left out: no memory for its PCI bus", d->name);
		return false;
	}
	if (line->balloon && d->vm.memory.machine_addresses) {
		log_err("domain %s: left out: balloon: the control domain cannot give memory back; "
			"start Weir with control-iommu=none to allow it",
			d->name);
		return false;
	}
	if (line->balloon && vballoon_init(d)) {
		log_err("domain %s: left out: no memory for its balloon", d->name);
		return false;
	}
	for (u32 i = 0; i < line->nr_devices; i++)
		if (!assign_device(d, line->device[i], line->ats[i] ? IOMMU_ATS : 0) &&
		    !line->control)
			return false;
	return true;
}

/* A vCPU without cpu= goes to the CPU that has waited longest for one. */
static u32 choose_cpu(const struct module_line *line, u32 vcpu)
{
	static u32 next;
	u32 cpu = line->cpu >= 0 ? (u32)line->cpu + vcpu : next++;

	/* A CPU whose back end could not be set up runs no guests: known since before it was
	 * online. The bootstrap processor does. */
	while (!cpus[cpu % nr_cpus]->arch)
		cpu++;
	return cpu % nr_cpus;
}

static bool make_vcpus(const struct start *s, const struct module_line *line)
{
	for (u32 i = 0; i < line->vcpus; i++) {
		if (!vcpu_create(&s->domain->vm, s->cpu[i], line->priority)) {
			log_err("domain %s: no memory for vCPU %u", s->domain->name, i);
			return false;
		}
	}
	return true;
}

/* The first guest starts: from here on it matters how long interrupts are disabled. */
static void start_counting(void)
{
	static bool counting;

	if (!counting)
		irqoff_start();
	counting = true;
}

static int begin(struct start *s, const struct module_line *line, enum identity_policy policy)
{
	struct domain *d = can_build(line) ? create(s->module) : NULL;

	s->domain = d;
	if (!d)
		return -EINVAL;
	for (u32 i = 0; i < line->vcpus; i++)
		s->cpu[i] = choose_cpu(line, i);
	if (line->control)
		control_init(d, policy);
	d->vm.memory.has_devices = line->nr_devices && !d->vm.memory.machine_addresses;
	expect_devices(d, line);
	return memory_build_begin(&d->vm.memory, line->memory);
}

static int identity_step(struct start *s, enum identity_policy policy)
{
	struct memory *m = &s->domain->vm.memory;

	if (!m->machine_addresses)
		return STEP_DONE;
	if (!s->gfn)
		pool_start(m, policy, domain_wake_all);
	return pool_map_own_step(m, &s->gfn);
}

/* True if the domain can start with what was attached. The control domain can, since only it can
 * mend what is wrong. */
static bool are_enough(const struct domain *d, const struct module_line *line, u32 attached)
{
	if (attached == line->nr_devices)
		return true;
	if (line->control) {
		log_warn("domain %s: starts with %u of its %u devices", d->name, attached,
			 line->nr_devices);
		return true;
	}
	log_err("domain %s: left out: %u of its %u devices could not be attached, as said above: "
		"remove them from pci=",
		d->name, line->nr_devices - attached, line->nr_devices);
	return false;
}

static int devices_step(struct start *s, const struct module_line *line)
{
	u32 attached;

	/* A device reserves interrupt vectors on the CPUs of the vCPUs. */
	if (!s->assigned && (!make_vcpus(s, line) || !assign_devices(s->domain, line)))
		return -EINVAL;
	s->assigned = true;
	if (!vpci_settled(s->domain, &attached))
		return STEP_WAIT;
	return are_enough(s->domain, line, attached) ? STEP_DONE : -EINVAL;
}

static int run(struct start *s, const struct module_line *line)
{
	struct domain *d = s->domain;

	if (line->restart != RESTART_NEVER)
		modules_keep(d);
	log_info("domain %s: starts with %luM of memory (%lu 1G, %lu 2M, %lu 4K pages), %u vCPU%s, "
		 "%u device%s",
		 d->name, line->memory >> 20, d->vm.memory.nested.entries[2],
		 d->vm.memory.nested.entries[1], d->vm.memory.nested.entries[0], d->vm.nr_vcpus,
		 d->vm.nr_vcpus == 1 ? "" : "s", line->nr_devices,
		 line->nr_devices == 1 ? "" : "s");
	start_counting();
	start_run(d, &s->entry);
	return STEP_DONE;
}

static int stage_step(struct start *s, enum identity_policy policy)
{
	const struct module_line *line = &module_at(s->module)->line;

	switch (s->stage) {
	case START_RECORD:
		return begin(s, line, policy);
	case START_MEMORY:
		return memory_build_step(&s->domain->vm.memory, &s->gfn);
	case START_CLEAR_BEGIN:
		s->gfn = 0;
		memory_clear_start(&s->domain->vm.memory);
		return STEP_DONE;
	case START_CLEAR:
		return memory_is_clearing(&s->domain->vm.memory) ? STEP_WAIT : STEP_DONE;
	case START_IDENTITY:
		return identity_step(s, policy);
	case START_LOAD:
		return start_load_step(s->domain, &s->loaded, &s->entry);
	case START_DEVICES:
		return devices_step(s, line);
	case START_RUN:
		return run(s, line);
	case START_DONE:
		return STEP_WAIT;
	}
	BUG();
}

enum step start_step(struct start *s, enum identity_policy policy)
{
	int ret = stage_step(s, policy);

	if (ret > 0)
		return ret == STEP_MORE ? STEP_MORE : STEP_WAIT;
	if (ret < 0) {
		if (s->domain)
			domain_discard(s->domain);
		s->stage = START_DONE;
		return STEP_DONE;
	}
	s->stage++;
	return s->stage == START_DONE ? STEP_DONE : STEP_MORE;
}
