/* Functions given to domains and taken back, at boot and at run time.
 *
 *	FREE --assign_start()--> ATTACHING
 *	                           the bus master off, reset                  (100 ms or twice that, by a timer)
 *	                           its capabilities read
 *	                           the domain's memory mapped for devices     (bounded steps, if it is the domain's first)
 *	                           iommu_attach(), a slot on the virtual bus
 *	                         ATTACHED
 *	                           out of its slot, the bus master off, BARs unmapped, interrupts blocked
 *	                           iommu_detach()                             (until no translation is cached)
 *	                           reset                                      (100 ms, by a timer)
 *	                           no interrupt and no CPU can come any more
 *	FREE <-----------------  DETACHING
 *
 * A domain that is started again loses its functions and gets them back in the same way; but they go from DETACHING to ATTACHING,
 * and are nobody else's meanwhile.
 *
 * Nothing waits in place: each arrow is a timer, an interrupt or a step of work. A domain that ends has its functions taken
 * back in the same way; one that is just being attached notices at its next step.
 */
#include <kernel/guest/devices/pci/assign.h>

#include <kernel/abi/control.h>
#include <kernel/mm/alloc.h>
#include <kernel/lib/atomic.h>
#include <kernel/guest/domain/domain.h>
#include <kernel/lib/errno.h>
#include <kernel/guest/domain/event.h>
#include <kernel/core/irq.h>
#include <kernel/core/log.h>
#include <kernel/guest/memory/memory.h>
#include <kernel/core/panic.h>
#include <kernel/guest/memory/shootdown.h>
#include <kernel/lib/string.h>
#include <kernel/guest/devices/pci/vpcifn.h>
#include <kernel/guest/devices/virtio/vvirtio.h>

#define RETRY_NS 1000000UL

/* Guards owner and state of all functions, and of a bus: functions, holds, ending, suspended. Leaf. */
static struct spinlock assign_lock = SPINLOCK_INIT(LOCK_ASSIGN);

static enum step step(struct work *w);

static void again(struct timer *t)
{
	work_queue(&container_of(t, struct vfunction, timer)->work);
}

static void step_after(struct vfunction *f, u64 ns)
{
	timer_set(&f->timer, clock_ns() + ns);
}

/* --- what can be given ------------------------------------------------------------------------------------------------------------- */

const char *assign_why_never(const struct pci_device *dev, bool trusted)
{
	if (!dev)
		return "there is no such device: the boot log with loglevel=debug lists those that are there";
	if (dev->header || dev->class >> 8 == 0x06)
		return "it is a bridge, which stays with Weir: name the device behind it";
	if (iommu_why_not(dev->id, trusted))
		return iommu_why_not(dev->id, trusted);
	if (dev->shared_id)
		return "it is behind a bridge to conventional PCI, which gives its DMA an id that is not its own: move it to a PCI Express slot";
	if (!dev->bars_ok)
		return "its BARs are not set up, or lie over something else: Weir does not move them";
	for (u32 i = 0; i < PCI_BARS; i++)
		if (dev->bar[i].size && !dev->bar[i].io &&
		    iommu_overlaps(dev->bar[i].base, dev->bar[i].base + dev->bar[i].size - 1))
			return "one of its BARs lies over a remapping unit's registers: the device or the firmware does not tell the truth";
	if (!dev->msi && !dev->msix)
		return "it has neither MSI nor MSI-X, and Weir does not pass legacy interrupts on";
	return NULL;
}

const char *assign_why_not(const struct domain *d, const struct pci_device *dev, u32 flags,
			   char *buf, size_t size)
{
	const char *why = assign_why_never(dev, d->vm.memory.machine_addresses);
	struct domain *owner;

	if (why)
		return why;
	if (dev->nr_virtual && !d->privileged)
		return "its virtual functions are on (sriov=), and whoever has it can reach the memory of those who have them: only the control domain may";
	if (dev->owner) {
		owner = domain_get_from(dev->owner);
		snprintf(buf, size,
			 "it belongs to domain %s already: take it out of one of the two lines",
			 owner ? owner->name : "(ended)");
		if (owner)
			domain_put(owner);
		return buf;
	}
	if ((flags & IOMMU_ATS) && iommu_why_no_ats(dev->id)) {
		snprintf(buf, size, "its own TLB cannot be used: %s: take ats away",
			 iommu_why_no_ats(dev->id));
		return buf;
	}
	return NULL;
}

/* --- buses and their functions --------------------------------------------------------------------------------------------------- */

/* One who uses the bus leaves; the last one ends it. */
static void drop(struct vpci *p)
{
	void (*left)(void *arg);
	void *arg;
	bool last;

	spin_lock(&assign_lock);
	last = !--p->holds && p->ending;
	spin_unlock(&assign_lock);
	if (!last)
		return;
	left = p->left;
	arg = p->left_arg;
	p->domain->pci = NULL;
	kfree(p);
	left(arg);
}

static struct vfunction *make(struct domain *d, struct pci_device *dev, u32 flags)
{
	struct vfunction *f = kzalloc(sizeof(*f));

	if (!f)
		return NULL;
	f->domain = d;
	f->bus = d->pci;
	f->dev = dev;
	f->flags = flags;
	f->stage = ASSIGN_RESET;
	work_init(&f->work, step);
	timer_init(&f->timer, again);
	list_init(&f->link);
	return f;
}

/* The function is nobody's; f is gone. From its own step only. */
static void end(struct vfunction *f)
{
	struct vpci *p = f->bus;

	work_forget(&f->work);
	spin_lock(&assign_lock);
	f->dev->owner = 0;
	f->dev->function = NULL;
	f->dev->state = PCI_FREE;
	list_del(&f->link);
	spin_unlock(&assign_lock);
	vmsi_free(f);
	kfree(f);
	drop(p);
}

int assign_start(struct domain *d, struct pci_device *dev, u32 flags)
{
	struct vfunction *f = make(d, dev, flags);
	int ret = 0;

	if (!f)
		return -ENOMEM;
	spin_lock(&assign_lock);
	if (dev->state != PCI_FREE) {
		ret = -EBUSY;
	} else {
		dev->state = PCI_ATTACHING;
		dev->owner = d->id;
		dev->function = f;
		d->pci->holds++;
		list_add_tail(&d->pci->functions, &f->link);
	}
	spin_unlock(&assign_lock);
	if (ret) {
		kfree(f);
		return ret;
	}
	pci_set_bus_master(dev, false);
	if (pci_reset_start(dev))
		step_after(f, PCI_RESET_NS);
	else
		work_queue(&f->work);
	return 0;
}

/* --- coming ------------------------------------------------------------------------------------------------------------------------ */

/* Its own device number if that is free, so that guests see what the administrator wrote; where it was, if it comes back. */
static u32 choose_slot(const struct vpci *p, const struct vfunction *f)
{
	u32 slot = f->slot ? f->slot : f->dev->id.bdf >> 3 & 31;

	if (!slot || slot == VVIRTIO_SLOT || p->slot[slot])
		for (slot = 1; slot < VVIRTIO_SLOT && p->slot[slot]; slot++)
			;
	return slot;
}

/* Show it to the guest, unless the domain ends (-EBUSY) or its bus is full (-ENOSPC). */
static int appear(struct vfunction *f)
{
	struct vpci *p = f->bus;
	u32 slot;
	int ret = 0;

	spin_lock(&p->lock);
	slot = choose_slot(p, f);
	if (slot == VVIRTIO_SLOT || vbar_place(f))
		ret = -ENOSPC;
	spin_lock(&assign_lock);
	if (p->ending)
		ret = -EBUSY;
	if (!ret)
		f->dev->state = PCI_ATTACHED;
	spin_unlock(&assign_lock);
	if (!ret) {
		pci_config_write16(f->dev->id.segment, f->dev->id.bdf, PCI_COMMAND,
				   PCI_COMMAND_MEMORY | PCI_COMMAND_INTX_DISABLE);
		f->slot = slot;
		p->slot[slot] = f;
	}
	spin_unlock(&p->lock);
	return ret;
}

static void tell(const struct vfunction *f)
{
	char name[16];

	pci_name(f->dev->id, name);
	if (!pci_reset_method(f->dev))
		log_warn("domain %s: device %s cannot be reset: it comes as its last user left it",
			 f->domain->name, name);
	log_info("domain %s: device %s (%04x:%04x) at 00:%02x.0, %u MSI-X vectors%s%s",
		 f->domain->name, name, f->dev->vendor, f->dev->device, f->slot, f->nr_vectors,
		 f->dev->msi ? ", MSI" : "", f->flags & IOMMU_ATS ? ", ATS" : "");
}

static void fail(struct vfunction *f, int error)
{
	char name[16];

	/* A domain that ends has said why. */
	if (read_once(&f->bus->ending))
		return;
	log_err("domain %s: device %s: %s (error %d)", f->domain->name, pci_name(f->dev->id, name),
		error == -ENOSPC ?
			"the PCI bus (VVIRTIO_SLOT) or the device window of the guest is full" :
		error == -ENOMEM ? "there is no memory for it" :
		error == -EINVAL ? "its MSI-X capability is broken" :
				   "the IOMMU refuses it",
		-error);
}

static void take_back(struct vfunction *f);

static bool must_wait(struct vfunction *f)
{
	spin_lock(&assign_lock);
	f->suspended = f->bus->suspended;
	spin_unlock(&assign_lock);
	return f->suspended;
}

/* One step of attaching. Once the function is attached it may be taken back at once; but f
 * ends in a step of its own only, so not before this one is over. */
static enum step attach_step(struct vfunction *f)
{
	int ret = 0;

	if (f->stage == ASSIGN_RESET && !pci_reset_finish(f->dev)) {
		step_after(f, PCI_RESET_NS);
		return STEP_WAIT;
	}
	if (read_once(&f->bus->ending)) {
		end(f);
		return STEP_WAIT;
	}
	switch (f->stage) {
	case ASSIGN_RESET:
		ret = vmsi_init(f);
		f->stage = ASSIGN_MAP;
		break;
	case ASSIGN_MAP:
		ret = memory_map_for_devices(&f->domain->vm.memory, &f->next_gfn);
		if (ret == STEP_MORE)
			return STEP_MORE;
		if (ret == STEP_WAIT)
			ret = -EAGAIN;
		f->stage = ret ? ASSIGN_MAP : ASSIGN_ATTACH;
		break;
	case ASSIGN_ATTACH:
		if (must_wait(f)) {
			ret = -EAGAIN;
			break;
		}
		ret = iommu_attach(f->domain->vm.memory.iommu, f->dev->id, f->flags);
		if (ret)
			break;
		ret = appear(f);
		if (ret) {
			fail(f, ret);
			spin_lock(&assign_lock);
			f->dev->state = PCI_DETACHING;
			spin_unlock(&assign_lock);
			take_back(f);
			return STEP_WAIT;
		}
		tell(f);
		domain_event(f->domain, WEIR_EVENT_DEVICES);
		return STEP_WAIT;
	default:
		BUG();
	}
	if (ret == -EAGAIN) {
		step_after(f, RETRY_NS);
		return STEP_WAIT;
	}
	if (ret) {
		fail(f, ret);
		end(f);
	}
	return ret ? STEP_DONE : STEP_MORE;
}

u32 assign_settle(struct domain *d)
{
	const struct vfunction *f;
	u32 busy, there;

	for (;;) {
		while (work_run())
			;
		busy = there = 0;
		spin_lock(&assign_lock);
		list_for_each(f, &d->pci->functions, link) {
			busy += f->dev->state != PCI_ATTACHED;
			there += f->dev->state == PCI_ATTACHED;
		}
		spin_unlock(&assign_lock);
		if (!busy)
			return there;
		irq_wait();
	}
}

/* --- going ------------------------------------------------------------------------------------------------------------------------- */

void assign_leaving_one(struct vfunction *f)
{
	(void)atomic_add(&f->leaving, 1);
}

void assign_left_one(struct vfunction *f)
{
	if (!atomic_sub(&f->leaving, 1))
		work_queue(&f->work);
}

/* Interrupt context: no translation of the device is cached any more. Now it may be reset (and answer nothing for a while).
 * The time passes in any case, so that an interrupt that was on its way has been taken before the vectors' records go. */
static void detached(void *arg)
{
	struct vfunction *f = arg;

	(void)pci_reset_start(f->dev);
	step_after(f, PCI_RESET_NS);
}

/* Its state is DETACHING since a moment ago: by this CPU, and by nobody else. */
static void take_back(struct vfunction *f)
{
	struct vpci *p = f->bus;

	f->stage = ASSIGN_DETACH;
	spin_lock(&p->lock);
	if (p->slot[f->slot] == f)
		p->slot[f->slot] = NULL;
	pci_set_bus_master(f->dev, false);
	vbar_unmap_all(f);
	spin_unlock(&p->lock);
	domain_event(f->domain, WEIR_EVENT_DEVICES);
	f->generation = read_once(&f->domain->vm.memory.nested.generation);

	assign_leaving_one(f);
	vmsi_remove(f);
	iommu_detach(f->dev->id, detached, f);
}

/* Nothing is left of what the guest made of it: attach it again. */
static void come_back(struct vfunction *f)
{
	vmsi_free(f);
	f->command = f->pm_state = 0;
	f->interrupt_line = 0;
	f->msi_enabled = f->msix_enabled = f->msix_masked = false;
	f->msi = (struct vmsi_vector){ 0 };
	f->nr_vectors = f->leaving = 0;
	f->paused = f->pause_is_awaited = f->comes_back = false;
	f->next_gfn = 0;
	f->stage = ASSIGN_RESET;
	spin_lock(&assign_lock);
	f->dev->state = PCI_ATTACHING;
	spin_unlock(&assign_lock);
}

/* The reset is over, or all has left. */
static enum step detach_step(struct vfunction *f)
{
	if (f->stage == ASSIGN_LEFT) {
		if (f->comes_back) {
			come_back(f);
			return STEP_MORE;
		}
		end(f);
		return STEP_WAIT;
	}
	/* The next owner must not share it with a CPU that still has its registers mapped. */
	if (!shootdown_done(&f->domain->vm.memory.nested, f->generation)) {
		step_after(f, RETRY_NS);
		return STEP_WAIT;
	}
	if (!pci_reset_finish(f->dev)) {
		step_after(f, PCI_RESET_NS);
		return STEP_WAIT;
	}
	f->stage = ASSIGN_LEFT;
	assign_left_one(f);
	return STEP_WAIT;
}

static enum step step(struct work *w)
{
	struct vfunction *f = container_of(w, struct vfunction, work);

	return f->stage < ASSIGN_DETACH ? attach_step(f) : detach_step(f);
}

int assign_take(struct pci_device *dev)
{
	struct vfunction *f = NULL;

	spin_lock(&assign_lock);
	if (dev->state == PCI_ATTACHED) {
		f = dev->function;
		dev->state = PCI_DETACHING;
	}
	spin_unlock(&assign_lock);
	if (!f)
		return -EBUSY;
	take_back(f);
	return 0;
}

/* One that is attached becomes the caller's to take back; NULL: there is none. */
static struct vfunction *claim(struct vpci *p)
{
	struct vfunction *f, *found = NULL;

	spin_lock(&assign_lock);
	list_for_each(f, &p->functions, link)
		if (f->dev->state == PCI_ATTACHED)
			found = f;
	if (found) {
		found->dev->state = PCI_DETACHING;
		found->comes_back = p->suspended && !p->ending;
	}
	spin_unlock(&assign_lock);
	return found;
}

/* A function of d's is on its way; one that waits for assign_resume() is not. */
static bool any_on_its_way(const struct vpci *p)
{
	const struct vfunction *f;
	bool any = false;

	spin_lock(&assign_lock);
	list_for_each(f, &p->functions, link)
		any |= f->dev->state != PCI_ATTACHED && !(p->suspended && f->suspended);
	spin_unlock(&assign_lock);
	return any;
}

enum step assign_suspend(struct domain *d)
{
	struct vpci *p = d->pci;
	struct vfunction *f;

	spin_lock(&assign_lock);
	p->suspended = true;
	spin_unlock(&assign_lock);
	while ((f = claim(p)))
		take_back(f);
	return any_on_its_way(p) ? STEP_WAIT : STEP_DONE;
}

enum step assign_resume(struct domain *d)
{
	struct vpci *p = d->pci;

	spin_lock(&p->lock);
	p->address = 0;
	spin_unlock(&p->lock);
	spin_lock(&assign_lock);
	p->suspended = false;
	spin_unlock(&assign_lock);
	return any_on_its_way(p) ? STEP_WAIT : STEP_DONE;
}

void assign_take_all(struct domain *d, void (*done)(void *arg), void *arg)
{
	struct vpci *p = d->pci;
	struct vfunction *f;

	if (!p) {
		done(arg);
		return;
	}
	p->left = done;
	p->left_arg = arg;
	spin_lock(&assign_lock);
	p->holds++; /* this function itself */
	p->ending = true; /* those that are coming see it at their next step */
	spin_unlock(&assign_lock);
	while ((f = claim(p)))
		take_back(f);
	drop(p);
}
