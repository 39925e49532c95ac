/* From GRUB's module lines to running domains. */
#include <kernel/guest/lifecycle/builder.h>

#include <iommu/iommu.h>
#include <kernel/core/log.h>
#include <kernel/guest/devices/guestpower.h>
#include <kernel/guest/devices/pci/assign.h>
#include <kernel/guest/devices/pci/assignable.h>
#include <kernel/guest/devices/pci/vpci.h>
#include <kernel/guest/devices/virtio/vballoon.h>
#include <kernel/guest/devices/vuart.h>
#include <kernel/guest/domain/domain.h>
#include <kernel/guest/exit/control.h>
#include <kernel/guest/lifecycle/modules.h>
#include <kernel/guest/lifecycle/start.h>
#include <kernel/guest/lifecycle/teardown.h>
#include <kernel/guest/memory/memory.h>
#include <kernel/guest/memory/pool.h>
#include <kernel/guest/memory/populate.h>
#include <kernel/guest/vcpu/backend.h>
#include <kernel/guest/vcpu/vcpu.h>
#include <kernel/lib/errno.h>
#include <kernel/lib/string.h>
#include <kernel/mm/alloc.h>

static bool assign_device(struct domain *d, struct pci_id id, u32 flags)
{
	struct pci_device *dev = pci_find(id);
	char name[16], buf[160];
	const char *why = assignable_why_not(d, dev, flags, buf, sizeof(buf));

	if (!why && assign_start(d, dev, flags))
		why = "no memory";
	if (why)
		log_err("domain %s: pci=%s: %s", d->name, pci_name(id, name), why);
	return !why;
}

static bool assign_devices(struct domain *d, const struct module_line *line)
{
	if (vpci_init(d)) {
		log_err("domain %s: no memory for its PCI bus", d->name);
		return false;
	}
	if (line->balloon && d->vm.memory.machine_addresses) {
		log_err("domain %s: balloon: the control domain cannot give memory back; "
			"start Weir with control-iommu=none to allow it",
			d->name);
		return false;
	}
	if (line->balloon && vballoon_init(d)) {
		log_err("domain %s: no memory for its balloon", d->name);
		return false;
	}
	for (u32 i = 0; i < line->nr_devices; i++)
		if (!assign_device(d, line->device[i], line->ats[i] ? IOMMU_ATS : 0))
			return false;
	return vpci_settle(d) == line->nr_devices;
}

/* A vCPU without cpu= goes to the CPU that has waited longest for one. */
static u32 choose_cpu(const struct module_line *line, u32 vcpu)
{
	static u32 next;
	u32 cpu = line->cpu >= 0 ? (u32)line->cpu + vcpu : next++;

	/* A CPU whose back end could not be set up runs no guests. The bootstrap processor does. */
	while (!cpus[cpu % nr_cpus]->arch)
		cpu++;
	return cpu % nr_cpus;
}

static bool make_vcpus(struct domain *d, const struct module_line *line)
{
	for (u32 i = 0; i < line->vcpus; i++) {
		if (!vcpu_create(&d->vm, choose_cpu(line, i), line->priority)) {
			log_err("domain %s: no memory for vCPU %u", d->name, i);
			return false;
		}
	}
	return true;
}

/* Check what can be checked before anything is made. */
static bool can_build(const struct module_line *line)
{
	const char *why = line->nr_devices ? iommu_why_absent() : NULL;

	if (!vcpu_backend) {
		log_err("domain %s: left out: this machine cannot run guests", line->domain);
		return false;
	}
	if (why) {
		log_err("domain %s: left out: devices cannot be passed through: %s; "
			"remove pci= to run it without",
			line->domain, why);
		return false;
	}
	if (line->cpu >= (s32)nr_cpus) {
		log_err("domain %s: left out: cpu=%d, but the CPUs are 0 to %u", line->domain,
			line->cpu, nr_cpus - 1);
		return false;
	}
	return true;
}

/* Load it in one go, because nothing else runs at boot that would have to wait. */
static bool load(struct domain *d, struct guest_entry *entry)
{
	u64 done = 0;
	int ret;

	do
		ret = start_load_step(d, &done, entry);
	while (ret == STEP_MORE);
	return !ret;
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
	teardown_init(d);
	ret = vuart_create(d);
	if (!ret)
		ret = guestpower_init(d);
	if (ret) {
		log_err("domain %s: cannot create its UART and power ports (error %d)", d->name,
			-ret);
		domain_discard(d);
	}
	/* Also on errors: the tear-down releases whatever was made. */
	domain_register(d);
	return ret ? NULL : d;
}

static void build(u32 index, enum identity_policy policy)
{
	const struct module_line *line = &module_at(index)->line;
	struct guest_entry entry;
	struct domain *d;

	if (!can_build(line))
		return;
	d = create(index);
	if (!d)
		return;
	if (line->control)
		control_init(d, policy);
	d->vm.memory.has_devices = line->nr_devices && !d->vm.memory.machine_addresses;
	if (memory_build(&d->vm.memory, line->memory) || !load(d, &entry)) {
		domain_discard(d);
		return;
	}
	/* Before its devices are attached, and before other domains take their memory. */
	if (d->vm.memory.machine_addresses)
		pool_start(&d->vm.memory, policy, domain_wake_all);
	if (!assign_devices(d, line) || !make_vcpus(d, line)) {
		domain_discard(d);
		return;
	}
	if (line->restart != RESTART_NEVER)
		modules_keep(d);
	log_info("domain %s: starts with %luM of memory (%lu 1G, %lu 2M, %lu 4K pages), %u vCPU%s, "
		 "%u device%s",
		 d->name, line->memory >> 20, d->vm.memory.nested.entries[2],
		 d->vm.memory.nested.entries[1], d->vm.memory.nested.entries[0], d->vm.nr_vcpus,
		 d->vm.nr_vcpus == 1 ? "" : "s", line->nr_devices,
		 line->nr_devices == 1 ? "" : "s");
	start_run(d, &entry);
}

static bool is_kernel(u32 i)
{
	return module_at(i)->valid && module_at(i)->line.kind == MODULE_KERNEL;
}

/* There can be one control domain. */
static void refuse_second_control(u32 nr)
{
	const char *first = NULL;

	for (u32 i = 0; i < nr; i++) {
		if (!is_kernel(i) || !module_at(i)->line.control)
			continue;
		if (first) {
			log_err("module %u: control: domain %s is the control domain already; "
				"remove the word from one of the two",
				i, first);
			module_at(i)->valid = false;
		}
		first = first ? first : module_at(i)->line.domain;
	}
}

/* For a test that lets each allocation of a domain's build fail, one in each domain. */
static void fail_next_build(void)
{
#ifdef WEIR_DEBUG
	static u64 nth;

	alloc_fail(++nth, 0);
#endif
}

static void fail_no_more(void)
{
#ifdef WEIR_DEBUG
	alloc_fail(0, 0);
#endif
}

void build_domains(const struct boot_info *info, const struct build_options *options)
{
	u32 nr = modules_init(info);

	if (!nr)
		log_info("no modules, so there is nothing to run; "
			 "docs/guests.md says how to add a guest");
	refuse_second_control(nr);
	/* The control domain first. */
	for (u32 i = 0; i < nr; i++)
		if (is_kernel(i) && module_at(i)->line.control) {
			build(i, options->control_iommu);
			break;
		}
	for (u32 i = 0; i < nr; i++)
		if (is_kernel(i) && !module_at(i)->line.control) {
			if (options->fail_allocations)
				fail_next_build();
			build(i, options->control_iommu);
		}
	fail_no_more();
	modules_free_others();
}
