/* MSI-X of an assigned function. See vmsix.h. */
#include <kernel/guest/devices/pci/vmsix.h>

#include <kernel/core/log.h>
#include <kernel/core/paging.h>
#include <kernel/guest/devices/pci/vfunction.h>
#include <kernel/guest/devices/pci/vpci.h>
#include <kernel/guest/domain/domain.h>
#include <kernel/lib/atomic.h>
#include <kernel/lib/errno.h>
#include <kernel/mm/alloc.h>

static u64 table_size(u32 nr_vectors)
{
	return MSIX_ENTRY_SIZE * nr_vectors;
}

static u64 pba_size(u32 nr_vectors)
{
	return ALIGN_UP(nr_vectors, 64u) / 8;
}

u64 vmsix_table_size(const struct vfunction *f)
{
	return table_size(f->nr_vectors);
}

u64 vmsix_pba_size(const struct vfunction *f)
{
	return pba_size(f->nr_vectors);
}

static bool lies_in_bar(const struct pci_device *d, u32 bar, u64 offset, u64 size)
{
	return bar < PCI_BARS && !d->bar[bar].io && offset + size <= d->bar[bar].size;
}

/* A driver rarely reads the pending bits, so it gets the device without them. */
static void hide_pba(struct vfunction *f)
{
	char name[16];

	log_warn("domain %s: device %s: its MSI-X pending bits are not in its BARs: its guest "
		 "does not see them",
		 f->domain->name, pci_name(f->dev->id, name));
	f->pba_bar = PCI_BARS;
}

int vmsix_init(struct vfunction *f)
{
	struct pci_device *d = f->dev;
	u32 control, table, pba, nr;

	if (!d->msix)
		return 0;
	control = device_config_read32(f, d->msix);
	table = device_config_read32(f, d->msix + 4u);
	pba = device_config_read32(f, d->msix + 8u);
	nr = (u32)FIELD_GET(MSIX_CONTROL_SIZE, control) + 1;
	f->msix_bar = table & PCI_MSIX_BIR;
	f->msix_offset = table & ~PCI_MSIX_BIR;
	f->pba_bar = pba & PCI_MSIX_BIR;
	f->pba_offset = pba & ~PCI_MSIX_BIR;
	if (!lies_in_bar(d, f->msix_bar, f->msix_offset, table_size(nr)))
		return -EINVAL;
	if (!lies_in_bar(d, f->pba_bar, f->pba_offset, pba_size(nr)))
		hide_pba(f);
	f->vector = kzalloc(nr * sizeof(*f->vector));
	if (!d->msix_table)
		d->msix_table = mmio_map(d->bar[f->msix_bar].base + f->msix_offset, table_size(nr));
	if (!f->vector || !d->msix_table)
		return -ENOMEM;
	f->nr_vectors = nr;
	for (u32 i = 0; i < nr; i++)
		f->vector[i] = (struct virq){ .function = f, .index = i, .message.masked = true };
	vmsix_disable(f);
	return 0;
}

void vmsix_free(struct vfunction *f)
{
	kfree(f->vector);
	f->vector = NULL;
	f->nr_vectors = 0;
}

void vmsix_disable(const struct vfunction *f)
{
	if (f->dev->msix)
		device_config_write16(f, f->dev->msix + 2u, 0);
}

/* --- the capability ------------------------------------------------------- */

void vmsix_update_control(const struct vfunction *f)
{
	u32 control = (f->msix.enabled ? (u32)MSIX_CONTROL_ENABLE : 0) |
		      (f->msix.masked || f->storm.paused ? (u32)MSIX_CONTROL_MASKED : 0);

	assert_locked(&f->bus->lock);
	device_config_write16(f, f->dev->msix + 2u, control >> 16);
}

/* The entry in the device's table. */
static volatile u32 *device_entry(const struct virq *q)
{
	return (volatile u32 *)((volatile char *)q->function->dev->msix_table +
				MSIX_ENTRY_SIZE * q->index);
}

static void update_device_entry(struct virq *q)
{
	volatile u32 *e = device_entry(q);
	bool send = virq_update(q, q->function->msix.enabled);
	u64 address;
	u32 data;

	e[3] = PCI_MSIX_ENTRY_MASKED;
	if (!send)
		return;
	iommu_irte_message(&q->irte, &address, &data);
	e[0] = (u32)address;
	e[1] = (u32)(address >> 32);
	e[2] = data;
	e[3] = 0;
}

static void deliver_latched(struct vfunction *f)
{
	for (u32 i = 0; i < f->nr_vectors; i++)
		virq_deliver_latched(&f->vector[i]);
}

void vmsix_resume(struct vfunction *f)
{
	for (u32 i = 0; i < f->nr_vectors; i++)
		if (f->vector[i].blocked)
			update_device_entry(&f->vector[i]);
	vmsix_update_control(f);
	deliver_latched(f);
}

u64 vmsix_pending(const struct vfunction *f, u32 first, u32 nr)
{
	u64 bits = 0;

	assert_locked(&f->bus->lock);
	for (u32 i = 0; i < nr && first + i < f->nr_vectors; i++)
		if (read_once(&f->vector[first + i].pending))
			bits |= BIT(i);
	return bits;
}

u32 vmsix_read(const struct vfunction *f, u8 offset)
{
	assert_locked(&f->bus->lock);
	if (offset)
		return device_config_read32(f, f->dev->msix + offset);
	return msix_control_read(&f->msix, f->nr_vectors);
}

void vmsix_write(struct vfunction *f, u8 offset, u32 value, u32 mask)
{
	bool was_enabled = f->msix.enabled;

	assert_locked(&f->bus->lock);
	if (offset)
		return;
	msix_control_write(&f->msix, value, mask);
	/* Disable first and enable last, so that the device never sends a partly set up message. */
	if (!f->msix.enabled)
		vmsix_update_control(f);
	if (was_enabled != f->msix.enabled)
		for (u32 i = 0; i < f->nr_vectors; i++)
			update_device_entry(&f->vector[i]);
	if (f->msix.enabled) {
		vmsix_update_control(f);
		deliver_latched(f);
	}
}

/* --- the table ------------------------------------------------------------ */

u32 vmsix_table_read(const struct vfunction *f, u32 offset)
{
	const struct virq *q = &f->vector[offset / MSIX_ENTRY_SIZE];

	assert_locked(&f->bus->lock);
	return msix_entry_read(&q->message, offset % MSIX_ENTRY_SIZE);
}

void vmsix_table_write(struct vfunction *f, u32 offset, u32 value)
{
	struct virq *q = &f->vector[offset / MSIX_ENTRY_SIZE];

	assert_locked(&f->bus->lock);
	msix_entry_write(&q->message, offset % MSIX_ENTRY_SIZE, value);
	update_device_entry(q);
}
