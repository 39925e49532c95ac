/* Assigns functions to domains and takes them back: a state machine.
 *
 *	stage                                                                 pci_device.state
 *
 *	FREE      no domain has it, and there is no record                    PCI_FREE
 *	  |
 *	  |  assign_start()
 *	  v
 *	RESET     bus mastering off; reset (100 ms or twice that, by a        PCI_ATTACHING
 *	  |  ^    timer), asked until it answers (for at most 60 s);
 *	  |  |    then its capabilities are read
 *	  |  |
 *	  |  +--------------------------------------------------------------+
 *	  v                                                                 |
 *	MAP       its MSI-X table is masked; the domain's memory is mapped  |
 *	  |       for devices (if this is its first one): in bounded steps  |
 *	  v                                                                 |
 *	ATTACH    waits while the domain restarts; then iommu_attach(),     |
 *	  |       and a slot on the virtual bus                             |
 *	  v                                                                 |
 *	ATTACHED  the guest has it                                          | PCI_ATTACHED
 *	  |                                                                 |
 *	  |  assign_take(), or the domain restarts or ends                  |
 *	  v                                                                 |
 *	DETACH    out of its slot, bus mastering off, interrupts blocked;   | PCI_DETACHING
 *	  |       BARs unmapped in bounded steps; iommu_detach() (until no  |
 *	  |       translation is cached); reset, until it answers; until no |
 *	  |       CPU has its registers in its TLB                          |
 *	  v                                                                 |
 *	DRAIN     until none of its interrupts can come any more            |
 *	  |                                                                 |
 *	  +---->  RESET, if the domain restarts: it stays the domain's -----+
 *	  |
 *	  +---->  FREE
 *
 * If something fails in RESET, MAP or ATTACH, or if the domain ends, the function goes directly to
 * FREE. If the bus has no room for it after iommu_attach(), it goes from ATTACH to DETACH.
 *
 * Nothing blocks: each arrow is a timer, an interrupt or a step of work. So if a domain ends while
 * a function is being attached to it, its end waits for that function's next step.
 */
#include <kernel/guest/devices/pci/assign.h>

#include <drivers/pcidma.h>
#include <drivers/pcipresence.h>
#include <drivers/pcireset.h>
#include <iommu/iommu.h>
#include <kernel/abi/control.h>
#include <kernel/core/log.h>
#include <kernel/core/panic.h>
#include <kernel/guest/devices/pci/vbar.h>
#include <kernel/guest/devices/pci/vfunction.h>
#include <kernel/guest/devices/pci/vmsix.h>
#include <kernel/guest/devices/pci/vpci.h>
#include <kernel/guest/devices/pci/vwindow.h>
#include <kernel/guest/domain/domain.h>
#include <kernel/guest/domain/event.h>
#include <kernel/guest/memory/devicemap.h>
#include <kernel/guest/memory/memory.h>
#include <kernel/guest/memory/shootdown.h>
#include <kernel/lib/atomic.h>
#include <kernel/lib/errno.h>
#include <kernel/lib/string.h>

#define RETRY_NS 1000000UL

/* The registers can be reached; no DMA, no legacy interrupts. */
#define COMMAND_QUIET ((u16)(PCI_COMMAND_MEMORY | PCI_COMMAND_INTX_DISABLE))

#define WHY_NO_MEMORY "there is no memory for it"
#define WHY_LOST                                                                                   \
	"it has not answered for 60 s after its reset: no domain can have it until it does, "      \
	"which may need a power cycle of the machine"
#define WHY_UNSET                                                                                  \
	"its BARs do not keep the addresses that the firmware gave it: another device is in its "  \
	"place, and Weir does not move BARs"
_Static_assert(PCI_RESET_READY_MS == 60000, "WHY_LOST");
#define WHAT_HELPS "give the guest fewer devices"

struct spinlock assign_lock = SPINLOCK_INIT(LOCK_ASSIGN);

/* The only place that changes the stage. */
static void enter_stage(struct vfunction *f, enum assign_stage stage)
{
	static const u8 state[] = {
		[ASSIGN_FREE] = PCI_FREE,	  [ASSIGN_RESET] = PCI_ATTACHING,
		[ASSIGN_MAP] = PCI_ATTACHING,	  [ASSIGN_ATTACH] = PCI_ATTACHING,
		[ASSIGN_ATTACHED] = PCI_ATTACHED, [ASSIGN_DETACH] = PCI_DETACHING,
		[ASSIGN_DRAIN] = PCI_DETACHING,
	};

	assert_locked(&assign_lock);
	f->stage = stage;
	f->dev->state = state[stage];
}

static void lock_and_enter_stage(struct vfunction *f, enum assign_stage stage)
{
	spin_lock(&assign_lock);
	enter_stage(f, stage);
	spin_unlock(&assign_lock);
}

static void queue_assign_step(struct timer *t)
{
	work_queue(&container_of(t, struct vfunction, timer)->work);
}

static enum step step_after(struct vfunction *f, u64 ns)
{
	timer_set(&f->timer, clock_ns() + ns);
	return STEP_WAIT;
}

/* --- FREE ----------------------------------------------------------------- */

static enum step assign_step(struct work *w);

int assign_start(struct domain *d, struct pci_device *dev, u32 flags)
{
	struct vfunction *f = vfunction_create(d, dev, flags);
	bool is_free;

	if (!f)
		return -ENOMEM;
	work_init(&f->work, assign_step);
	timer_init(&f->timer, queue_assign_step);
	spin_lock(&assign_lock);
	is_free = dev->state == PCI_FREE;
	if (is_free) {
		enter_stage(f, ASSIGN_RESET);
		dev->owner = d->id;
		dev->function = f;
		vpci_add_user(d->pci, f);
	}
	spin_unlock(&assign_lock);
	if (!is_free) {
		vfunction_free(f);
		return -EBUSY;
	}
	/* The identity map serves whatever device the control domain gets later. */
	if (!d->vm.memory.machine_addresses)
		iommu_expect(d->vm.memory.iommu, dev->id);
	pci_set_bus_master(dev, false);
	/* One that is gone is not touched: the next step sees it. */
	if (!pci_presence_why_not(pci_look(dev)) && pci_reset_start(dev))
		(void)step_after(f, PCI_RESET_NS);
	else
		work_queue(&f->work);
	return 0;
}

/* Make the function free, and free f. Only from f's own step. */
static enum step become_free(struct vfunction *f)
{
	struct vpci *p = f->bus;

	work_forget(&f->work);
	spin_lock(&assign_lock);
	enter_stage(f, ASSIGN_FREE);
	f->dev->owner = 0;
	f->dev->function = NULL;
	list_del(&f->link);
	spin_unlock(&assign_lock);
	vfunction_free(f);
	vpci_put(p);
	return STEP_WAIT;
}

/* --- RESET, MAP ----------------------------------------------------------- */

static void log_failure(const struct vfunction *f, const char *why, int error)
{
	char name[16];

	/* A domain that ends has already logged why. */
	if (!read_once(&f->bus->ending))
		log_err("domain %s: device %s: %s (error %d)", f->domain->name,
			pci_name(f->dev->id, name), error == -ENOMEM ? WHY_NO_MEMORY : why, -error);
}

static enum step fail_and_free(struct vfunction *f, const char *why, int error)
{
	log_failure(f, why, error);
	return become_free(f);
}

static void set_slow(struct vfunction *f, bool slow)
{
	spin_lock(&assign_lock);
	f->slow = slow;
	spin_unlock(&assign_lock);
}

/* The domain does not wait for it any longer. */
static void say_if_slow(struct vfunction *f)
{
	char name[16];

	if (f->slow || !pci_reset_is_slow(f->dev))
		return;
	set_slow(f, true);
	log_warn("domain %s: device %s does not answer since its reset: it is attached when it "
		 "does, within %u s",
		 f->domain->name, pci_name(f->dev->id, name), PCI_RESET_READY_MS / 1000);
}

static enum step reset_stage(struct vfunction *f)
{
	const char *reason;
	char why[160];
	int ret;
	u64 ns;

	switch (pci_reset_step(f->dev, &ns)) {
	case PCI_RESET_WAIT:
		say_if_slow(f);
		return step_after(f, ns);
	case PCI_RESET_LOST:
		return fail_and_free(f, WHY_LOST, -ENODEV);
	case PCI_RESET_DONE:
		break;
	}
	set_slow(f, false);
	if (read_once(&f->bus->ending))
		return become_free(f);
	if (pci_look(f->dev) != PCI_PRESENT) {
		reason = pci_presence_why_not(pci_seen(f->dev));
		return fail_and_free(f, reason ? reason : WHY_UNSET, -ENODEV);
	}
	ret = vfunction_read_capabilities(f, why, sizeof(why));
	if (ret)
		return fail_and_free(f, why, ret);
	pci_write16(f->dev, PCI_COMMAND, COMMAND_QUIET);
	lock_and_enter_stage(f, ASSIGN_MAP);
	return STEP_MORE;
}

static enum step map_stage(struct vfunction *f)
{
	int ret;

	if (read_once(&f->bus->ending))
		return become_free(f);
	if (!vmsix_mask_step(f))
		return STEP_MORE;
	ret = memory_map_for_devices(&f->domain->vm.memory, &f->next_gfn);
	if (ret == STEP_MORE)
		return STEP_MORE;
	if (ret == STEP_WAIT)
		return step_after(f, RETRY_NS);
	if (ret)
		return fail_and_free(f, "the domain's memory cannot be mapped for devices", ret);
	lock_and_enter_stage(f, ASSIGN_ATTACH);
	return STEP_MORE;
}

/* --- ATTACH --------------------------------------------------------------- */

static bool must_wait_for_restart(struct vfunction *f)
{
	spin_lock(&assign_lock);
	f->suspended = f->bus->suspended;
	spin_unlock(&assign_lock);
	return f->suspended;
}

/* Put the function into a slot of the guest's bus. -ENOSPC: `why` is what is full; -EBUSY: the
 * domain is ending. */
static int put_on_bus(struct vfunction *f, char *why, size_t size)
{
	struct vpci *p = f->bus;
	u32 slot;
	int ret = 0;

	spin_lock(&p->lock);
	/* Use its previous slot after a restart. Otherwise use its own device number if that is
	 * free, so that the guest sees what the administrator wrote. */
	slot = vpci_choose_slot(p, f->slot ? f->slot : f->dev->id.bdf >> 3 & 31);
	if (!slot) {
		snprintf(why, size, "all %u slots of the guest's PCI bus are taken: " WHAT_HELPS,
			 VPCI_MAX_FUNCTIONS);
		ret = -ENOSPC;
	} else {
		ret = vwindow_place(f);
	}
	if (slot && ret)
		snprintf(why, size,
			 "its BARs take %lu KiB, and the guest's window for all devices' BARs (%u "
			 "MiB) has no such place free: " WHAT_HELPS,
			 vwindow_total_size(f) >> 10, VPCI_WINDOW_MIB);
	spin_lock(&assign_lock);
	if (p->ending)
		ret = -EBUSY;
	if (!ret)
		enter_stage(f, ASSIGN_ATTACHED);
	spin_unlock(&assign_lock);
	if (!ret) {
		pci_write16(f->dev, PCI_COMMAND, COMMAND_QUIET);
		f->slot = slot;
		p->slot[slot] = f;
	}
	spin_unlock(&p->lock);
	return ret;
}

static void start_detach(struct vfunction *f);

/* As soon as the function is attached, another CPU may take it back. But f is freed only in one of
 * its own steps, so not before this step is over. */
static enum step attach_stage(struct vfunction *f)
{
	char why[160];
	int ret;

	if (read_once(&f->bus->ending))
		return become_free(f);
	if (must_wait_for_restart(f))
		return step_after(f, RETRY_NS);
	ret = iommu_attach(f->domain->vm.memory.iommu, f->dev->id, f->flags);
	if (ret == -EAGAIN)
		return step_after(f, RETRY_NS);
	if (ret)
		return fail_and_free(f, "the IOMMU cannot attach it", ret);
	ret = put_on_bus(f, why, sizeof(why));
	if (ret) {
		log_failure(f, why, ret);
		lock_and_enter_stage(f, ASSIGN_DETACH);
		start_detach(f);
		return STEP_WAIT;
	}
	vfunction_log_attached(f);
	domain_event(f->domain, WEIR_EVENT_DEVICES);
	return STEP_WAIT;
}

/* --- ATTACHED ------------------------------------------------------------- */

int assign_take(struct pci_device *dev)
{
	struct vfunction *f = NULL;

	spin_lock(&assign_lock);
	if (dev->state == PCI_ATTACHED) {
		f = dev->function;
		enter_stage(f, ASSIGN_DETACH);
	}
	spin_unlock(&assign_lock);
	if (!f)
		return -EBUSY;
	start_detach(f);
	return 0;
}

/* Claim an attached function of the bus, which the caller must now detach. NULL: there is none. */
static struct vfunction *claim_attached(struct vpci *p)
{
	struct vfunction *f, *found = NULL;

	spin_lock(&assign_lock);
	list_for_each(f, &p->functions, link)
		if (f->stage == ASSIGN_ATTACHED)
			found = f;
	if (found) {
		enter_stage(found, ASSIGN_DETACH);
		found->comes_back = p->suspended && !p->ending;
	}
	spin_unlock(&assign_lock);
	return found;
}

void assign_take_all(struct vpci *p)
{
	struct vfunction *f;

	while ((f = claim_attached(p)))
		start_detach(f);
}

/* --- DETACH, DRAIN -------------------------------------------------------- */

void assign_hold(struct vfunction *f)
{
	(void)atomic_add(&f->holds, 1);
}

void assign_release(struct vfunction *f)
{
	if (!atomic_sub(&f->holds, 1))
		work_queue(&f->work);
}

/* No translation for the device is cached any longer, so it can now be reset, after which it may
 * not respond for a while. Wait even if it cannot be reset, so that an interrupt in flight is taken
 * before the records of the vectors are freed. Interrupt context. */
static void reset_detached(void *arg)
{
	struct vfunction *f = arg;

	if (!pci_presence_why_not(pci_look(f->dev)))
		(void)pci_reset_start(f->dev);
	(void)step_after(f, PCI_RESET_NS);
}

/* A step; the last one goes on with iommu_detach(). */
static enum step unmap_registers(struct vfunction *f)
{
	enum step ret;

	spin_lock(&f->bus->lock);
	ret = vbar_unmap_all(f);
	spin_unlock(&f->bus->lock);
	if (ret == STEP_MORE)
		return ret;
	f->unmapped = true;
	f->generation = read_once(&f->domain->vm.memory.nested.generation);
	iommu_detach(f->dev->id, reset_detached, f);
	return STEP_WAIT;
}

/* Begin to detach f, which this CPU has just moved to DETACH. */
static void start_detach(struct vfunction *f)
{
	struct vpci *p = f->bus;

	spin_lock(&p->lock);
	if (vpci_is_on_bus(f))
		p->slot[f->slot] = NULL;
	pci_set_bus_master(f->dev, false);
	spin_unlock(&p->lock);
	domain_event(f->domain, WEIR_EVENT_DEVICES);

	assign_hold(f); /* until the end of detach_stage() */
	vfunction_remove_interrupts(f);
	f->unmapped = false;
	if (unmap_registers(f) == STEP_MORE)
		work_queue(&f->work);
}

static enum step detach_stage(struct vfunction *f)
{
	char name[16];
	u64 ns;

	if (!f->unmapped)
		return unmap_registers(f);
	/* The next owner must not share the device with a CPU that may still have its registers in
	 * its TLB. */
	if (!shootdown_done(&f->domain->vm.memory.nested, f->generation))
		return step_after(f, RETRY_NS);
	switch (pci_reset_step(f->dev, &ns)) {
	case PCI_RESET_WAIT:
		return step_after(f, ns);
	case PCI_RESET_LOST:
		if (!f->comes_back)
			log_err("device %s: " WHY_LOST, pci_name(f->dev->id, name));
		break;
	case PCI_RESET_DONE:
		break;
	}
	lock_and_enter_stage(f, ASSIGN_DRAIN);
	assign_release(f);
	return STEP_WAIT;
}

/* Nothing holds f any longer. */
static enum step drain_stage(struct vfunction *f)
{
	if (!f->comes_back)
		return become_free(f);
	vfunction_forget_guest(f);
	f->comes_back = false;
	f->next_gfn = 0;
	lock_and_enter_stage(f, ASSIGN_RESET);
	return STEP_MORE;
}

/* --- the state machine ---------------------------------------------------- */

static enum step assign_step(struct work *w)
{
	struct vfunction *f = container_of(w, struct vfunction, work);

	switch (f->stage) {
	case ASSIGN_RESET:
		return reset_stage(f);
	case ASSIGN_MAP:
		return map_stage(f);
	case ASSIGN_ATTACH:
		return attach_stage(f);
	case ASSIGN_DETACH:
		return detach_stage(f);
	case ASSIGN_DRAIN:
		return drain_stage(f);
	default:
		BUG();
	}
}
