/* Finds PCI functions that have come since the boot. See rescan.h. */
#include <kernel/guest/devices/pci/rescan.h>

#include <drivers/pci.h>
#include <drivers/pcipresence.h>
#include <kernel/guest/devices/pci/assign.h>
#include <kernel/lib/atomic.h>
#include <kernel/lib/errno.h>

/* A position: which ECAM window, then a requester id: bus, device, function. */
#define FUNCTIONS_PER_BUS 256u
#define FUNCTIONS_PER_WINDOW (256u * FUNCTIONS_PER_BUS)
#define FUNCTION 7u

static bool busy;

/* True if no domain has dev; it stays so until unclaim(). */
static bool claim(struct pci_device *dev)
{
	bool is_free;

	spin_lock(&assign_lock);
	is_free = dev->state == PCI_FREE;
	if (is_free)
		dev->state = PCI_ATTACHING;
	spin_unlock(&assign_lock);
	return is_free;
}

static void unclaim(struct pci_device *dev)
{
	spin_lock(&assign_lock);
	dev->state = PCI_FREE;
	spin_unlock(&assign_lock);
}

static void look_at(struct pci_device *dev)
{
	bool is_free;

	if (read_once(&dev->state) == PCI_ATTACHED)
		(void)pci_look(dev);
	is_free = claim(dev);
	if (!is_free)
		return;
	/* Virtual functions come and go with their physical one. */
	if (pci_look(dev) == PCI_EXCHANGED && !dev->physical && !dev->nr_virtual)
		pci_read_again(dev);
	unclaim(dev);
}

/* Something is on this bus, or a bridge leads there. */
static bool is_used(u16 segment, u8 bus)
{
	const struct pci_device *d;

	for (u32 i = 0; (d = pci_device_at(i)); i++)
		if (d->id.segment == segment &&
		    (d->id.bdf >> 8 == bus || (pci_is_bridge(d) && pci_secondary_bus(d) == bus)))
			return true;
	return false;
}

static bool is_multi_function(u16 segment, u16 bdf)
{
	return pci_exists(segment, bdf) &&
	       pci_config_read8(segment, bdf, PCI_HEADER_TYPE) & PCI_HEADER_MULTI_FUNCTION;
}

static void look_at_function(u16 segment, u16 bdf)
{
	struct pci_device *dev = pci_find((struct pci_id){ segment, bdf });

	if (dev)
		look_at(dev);
	else if (!(bdf & FUNCTION) || is_multi_function(segment, bdf & (u16)~FUNCTION))
		(void)pci_add_late((struct pci_id){ segment, bdf });
}

int rescan_step(u32 *position)
{
	u32 window = *position / FUNCTIONS_PER_WINDOW, at = *position % FUNCTIONS_PER_WINDOW;
	u16 segment;

	if (!pci_config_segment(window, &segment))
		return false;
	if (atomic_xchg(&busy, true))
		return -EBUSY;
	if (is_used(segment, (u8)(at / FUNCTIONS_PER_BUS))) {
		look_at_function(segment, (u16)at);
		(*position)++;
	} else {
		*position += FUNCTIONS_PER_BUS - at % FUNCTIONS_PER_BUS;
	}
	store_release(&busy, false);
	return true;
}
