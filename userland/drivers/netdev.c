/* Finds a network device that has a driver, and follows its removal and return. */
#include <userland/drivers/netdev.h>

#include <stdio.h>
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

/* The text of a list under construction. */
struct list_text {
	char *text;
	size_t size, used;
};

static void append_id(struct list_text *l, const char *prefix, u16 vendor, u16 id)
{
	if (l->used < l->size)
		l->used += (size_t)snprintf(l->text + l->used, l->size - l->used, "%s%s%04x:%04x",
					    l->used ? ", " : "", prefix, vendor, id);
}

static bool append_device(const struct pci_device *pci, void *ctx)
{
	char prefix[16];

	/* Not the host bridge. */
	if (!pci->bus && !pci->device)
		return false;
	snprintf(prefix, sizeof(prefix), "%02x:%02x.%u ", pci->bus, pci->device, pci->function);
	append_id(ctx, prefix, pci->vendor, pci->id);
	return false;
}

void netdev_describe(char *known, char *found, size_t size)
{
	struct list_text k = { known, size, 0 }, f = { found, size, 0 };

	snprintf(found, size, "nothing");
	for (u32 i = 0; i < ARRAY_SIZE(drivers); i++)
		append_id(&k, "", drivers[i].vendor, drivers[i].id);
	pci_for_each(append_device, &f);
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
