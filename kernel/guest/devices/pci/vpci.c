/* The virtual PCI bus of a domain. See vpci.h. */
#include <kernel/guest/devices/pci/vpci.h>

#include <kernel/core/irq.h>
#include <kernel/core/work.h>
#include <kernel/guest/devices/pci/assign.h>
#include <kernel/guest/devices/pci/vfunction.h>
#include <kernel/guest/devices/pci/vpciports.h>
#include <kernel/guest/domain/domain.h>
#include <kernel/lib/errno.h>
#include <kernel/mm/alloc.h>

int vpci_init(struct domain *d)
{
	struct vpci *p = kzalloc(sizeof(*p));

	if (!p)
		return -ENOMEM;
	spin_init(&p->lock, LOCK_VPCI);
	p->domain = d;
	list_init(&p->functions);
	d->pci = p;
	return vpciports_add(p);
}

/* --- slots ---------------------------------------------------------------- */

u32 vpci_choose_slot(const struct vpci *p, u32 wanted)
{
	u32 slot = wanted;

	assert_locked(&p->lock);
	if (slot && slot != VPCI_BALLOON_SLOT && !p->slot[slot])
		return slot;
	for (slot = 1; slot < VPCI_BALLOON_SLOT; slot++)
		if (!p->slot[slot])
			return slot;
	return 0;
}

bool vpci_is_on_bus(const struct vfunction *f)
{
	assert_locked(&f->bus->lock);
	return f->bus->slot[f->slot] == f;
}

/* --- users ---------------------------------------------------------------- */

void vpci_add_user(struct vpci *p, struct vfunction *f)
{
	assert_locked(&assign_lock);
	p->users++;
	list_add_tail(&p->functions, &f->link);
}

void vpci_put(struct vpci *p)
{
	void (*ended)(void *arg);
	void *arg;
	bool last;

	spin_lock(&assign_lock);
	last = !--p->users && p->ending;
	spin_unlock(&assign_lock);
	if (!last)
		return;
	ended = p->ended;
	arg = p->ended_arg;
	p->domain->pci = NULL;
	kfree(p);
	ended(arg);
}

/* --- all functions of a domain -------------------------------------------- */

bool vpci_settled(struct domain *d, u32 *attached)
{
	const struct vfunction *f;
	u32 busy = 0;

	*attached = 0;
	spin_lock(&assign_lock);
	list_for_each(f, &d->pci->functions, link) {
		busy += f->stage != ASSIGN_ATTACHED && !f->slow;
		*attached += f->stage == ASSIGN_ATTACHED || f->slow;
	}
	spin_unlock(&assign_lock);
	return !busy;
}

/* True if a function is being attached or detached. One that waits for vpci_resume() does not
 * count. */
static bool is_any_on_its_way(const struct vpci *p)
{
	const struct vfunction *f;
	bool any = false;

	spin_lock(&assign_lock);
	list_for_each(f, &p->functions, link)
		any |= f->stage != ASSIGN_ATTACHED && !(p->suspended && f->suspended);
	spin_unlock(&assign_lock);
	return any;
}

static void suspend_bus(struct vpci *p, bool suspended)
{
	spin_lock(&assign_lock);
	p->suspended = suspended;
	spin_unlock(&assign_lock);
}

enum step vpci_suspend(struct domain *d)
{
	suspend_bus(d->pci, true);
	assign_take_all(d->pci);
	return is_any_on_its_way(d->pci) ? STEP_WAIT : STEP_DONE;
}

enum step vpci_resume(struct domain *d)
{
	struct vpci *p = d->pci;

	spin_lock(&p->lock);
	p->address = 0;
	p->reset_control = 0;
	spin_unlock(&p->lock);
	suspend_bus(p, false);
	return is_any_on_its_way(p) ? STEP_WAIT : STEP_DONE;
}

void vpci_end(struct domain *d, void (*ended)(void *arg), void *arg)
{
	struct vpci *p = d->pci;

	if (!p) {
		ended(arg);
		return;
	}
	p->ended = ended;
	p->ended_arg = arg;
	spin_lock(&assign_lock);
	p->users++; /* this call itself */
	p->ending = true; /* functions being attached check it in their next step */
	spin_unlock(&assign_lock);
	assign_take_all(p);
	vpci_put(p);
}
