/* Finds a network device that has a driver, and follows its removal and return. */
#include <userland/drivers/netdev.h>

#include <kernel/abi/virtio_regs.h>
#include <userland/drivers/e1000e.h>
#include <userland/drivers/virtio.h>

static const struct {
	u16 vendor, id;
	struct netdev *(*probe)(const struct pci_device *pci);
} drivers[] = {
	{ E1000E_VENDOR, E1000E_82574L, e1000e_probe },
	{ E1000E_VENDOR, E1000E_82574LA, e1000e_probe },
	{ VIRTIO_VENDOR, VIRTIO_NET, virtio_net_probe },
};

static bool try_device(const struct pci_device *pci, void *ctx)
{
	struct netdev **found = ctx;

	for (u32 i = 0; i < ARRAY_SIZE(drivers) && !*found; i++)
		if (drivers[i].vendor == pci->vendor && drivers[i].id == pci->id)
			*found = drivers[i].probe(pci);
	return *found;
}

struct netdev *netdev_probe(void)
{
	struct netdev *dev = NULL;

	pci_for_each(try_device, &dev);
	return dev;
}

bool netdev_changed(struct netdev *dev)
{
	bool was_gone = dev->gone;

	if (!dev->gone && !dev->ops->present(dev)) {
		dev->gone = true;
		dev->link_up = false;
		if (dev->link_changed)
			dev->link_changed(dev);
	}
	if (dev->gone)
		dev->gone = !dev->ops->restart(dev);
	return dev->gone != was_gone;
}
