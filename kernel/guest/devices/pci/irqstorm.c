/* Limits the interrupt rate of functions. See irqstorm.h. */
#include <kernel/guest/devices/pci/irqstorm.h>

#include <kernel/core/log.h>
#include <kernel/guest/devices/pci/assign.h>
#include <kernel/guest/devices/pci/vfunction.h>
#include <kernel/guest/devices/pci/vmsi.h>
#include <kernel/guest/devices/pci/vmsix.h>
#include <kernel/guest/devices/pci/vpci.h>
#include <kernel/guest/domain/domain.h>
#include <kernel/guest/domain/event.h>
#include <kernel/lib/atomic.h>

#define WINDOW_NS (1000000000UL / IRQ_WINDOWS_PER_SECOND)
/* A storm is logged again only if the last pause was longer ago than this. */
#define NEW_STORM_NS 10000000000UL

static u32 irq_limit;

void irqstorm_set_limit(u32 per_second)
{
	irq_limit = per_second;
}

/* If several CPUs start a window at the same time, some counts are lost, but no window is. */
static bool is_over_limit(struct irqstorm *s)
{
	u64 now = clock_ns();
	u32 limit = irq_limit / IRQ_WINDOWS_PER_SECOND;

	if ((s64)(now - read_once(&s->window_start)) >= (s64)WINDOW_NS) {
		write_once(&s->window_start, now);
		write_once(&s->window_count, 0u);
	}
	return atomic_add(&s->window_count, 1) > limit && limit;
}

/* Update what the device may send to match storm.paused. First the device is told, and then its
 * unit: what is on its way is still accepted (a configuration access completes behind the messages
 * that were sent before it), and what comes after that is a fault. */
static void begin_pause(struct vfunction *f)
{
	assert_locked(&f->bus->lock);
	write_once(&f->storm.reopening, 0UL);
	if (f->nr_vectors)
		vmsix_update_control(f);
	if (f->msi_enabled)
		vmsi_update_device(f);
	iommu_irtes_block(&f->irtes, true);
}

/* The device has kept its messages as pending bits, unless it cannot mask MSI: then MSI was
 * disabled during the pause, and its messages may be lost, so one is delivered; a spurious one does
 * no harm. */
static void resume(struct vfunction *f)
{
	assert_locked(&f->bus->lock);
	vmsi_resume(f);
	if (f->nr_vectors)
		vmsix_resume(f);
}

/* What a quarantined device sends, it forges, since it is no bus master: its entries stay blocked
 * until it is taken away. */
static void end_pause(struct vfunction *f)
{
	bool ends = iommu_device_state(f->dev->id) == IOMMU_DEVICE_ATTACHED;

	assert_locked(&f->bus->lock);
	write_once(&f->storm.reopening, ends ? f->allocated : ~0UL);
	write_once(&f->storm.paused, false);
	if (!ends)
		return;
	iommu_irtes_block(&f->irtes, false);
	if (!f->allocated)
		resume(f);
}

bool irqstorm_holds(const struct vfunction *f)
{
	return read_once(&f->storm.paused) || read_once(&f->storm.reopening);
}

void irqstorm_in_force(struct vfunction *f, u64 which)
{
	u64 before = f->storm.reopening;

	assert_locked(&f->bus->lock);
	write_once(&f->storm.reopening, before & ~which);
	if (before && !f->storm.reopening)
		resume(f);
}

static void pause_function(struct vfunction *f)
{
	struct irqstorm *s = &f->storm;
	bool begins = false, is_new = false;
	char name[16];

	/* In interrupt context this CPU holds no lock. */
	spin_lock(&f->bus->lock);
	if (!s->paused && vpci_is_on_bus(f)) {
		u64 now = clock_ns();

		begins = true;
		write_once(&s->paused, true);
		is_new = !s->paused_at || now - s->paused_at > NEW_STORM_NS;
		s->paused_at = now;
		begin_pause(f);
		timer_set(&s->timer, read_once(&s->window_start) + WINDOW_NS);
	}
	spin_unlock(&f->bus->lock);
	if (!begins)
		return;
	(void)atomic_add(&f->domain->interrupt_pauses, 1);
	domain_event(f->domain, WEIR_EVENT_STORM);
	if (is_new)
		log_warn("domain %s: device %s raises more than %u interrupts a second "
			 "(irq-limit=): the excess is delayed",
			 f->domain->name, pci_name(f->dev->id, name), irq_limit);
}

/* The window is over. Interrupt context. */
static void window_is_over(struct timer *t)
{
	struct vfunction *f = container_of(t, struct vfunction, storm.timer);
	struct vpci *p = f->bus;
	bool is_held;

	spin_lock(&p->lock);
	is_held = f->storm.is_held;
	if (vpci_is_on_bus(f))
		end_pause(f);
	else
		write_once(&f->storm.paused, false);
	spin_unlock(&p->lock);
	if (is_held)
		assign_release(f);
}

void irqstorm_init(struct vfunction *f)
{
	timer_init(&f->storm.timer, window_is_over);
}

void irqstorm_count(struct vfunction *f)
{
	if (is_over_limit(&f->storm))
		pause_function(f);
}

void irqstorm_remove(struct vfunction *f)
{
	spin_lock(&f->bus->lock);
	if (f->storm.paused) {
		f->storm.is_held = true;
		assign_hold(f);
	}
	spin_unlock(&f->bus->lock);
}
