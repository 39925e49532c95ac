/* MSI-X of an assigned function. See vmsix.h. */
#include <kernel/guest/devices/pci/vmsix.h>

#include <kernel/core/log.h>
#include <kernel/core/paging.h>
#include <kernel/guest/devices/pci/irqstorm.h>
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
	return table_size(f->table_entries);
}

u64 vmsix_pba_size(const struct vfunction *f)
{
	return pba_size(f->table_entries);
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

u32 vmsix_entries_of(const struct pci_device *d)
{
	return d->msix ? (u32)FIELD_GET(MSIX_CONTROL_SIZE, pci_read32(d, d->msix)) + 1 : 0;
}

int vmsix_init(struct vfunction *f, u32 max)
{
	struct pci_device *d = f->dev;
	u32 table, pba, entries = vmsix_entries_of(d);

	f->msi = (struct virq){ .function = f };
	if (!entries)
		return 0;
	table = device_config_read32(f, d->msix + 4u);
	pba = device_config_read32(f, d->msix + 8u);
	f->msix_bar = table & PCI_MSIX_BIR;
	f->msix_offset = table & ~PCI_MSIX_BIR;
	f->pba_bar = pba & PCI_MSIX_BIR;
	f->pba_offset = pba & ~PCI_MSIX_BIR;
	if (!lies_in_bar(d, f->msix_bar, f->msix_offset, table_size(entries)))
		return -EINVAL;
	if (!lies_in_bar(d, f->pba_bar, f->pba_offset, pba_size(entries)))
		hide_pba(f);
	f->nr_vectors = MIN(entries, max);
	f->table_entries = entries;
	f->table_masked = 0;
	f->vector = kzalloc(f->nr_vectors * sizeof(*f->vector));
	if (!d->msix_table)
		d->msix_table = mmio_map(d->bar[f->msix_bar].base + f->msix_offset,
					 table_size(entries));
	if (!f->vector || !d->msix_table)
		return -ENOMEM;
	for (u32 i = 0; i < f->nr_vectors; i++)
		f->vector[i] = (struct virq){ .function = f, .index = i, .message.masked = true };
	if (d->msi)
		f->msi.index = f->nr_vectors;
	return 0;
}

void vmsix_free(struct vfunction *f)
{
	kfree(f->vector);
	f->vector = NULL;
	f->nr_vectors = f->table_entries = 0;
}

/* The entry in the device's table. */
static volatile u32 *device_entry(const struct vfunction *f, u32 i)
{
	return (volatile u32 *)((volatile char *)f->dev->msix_table + MSIX_ENTRY_SIZE * i);
}

bool vmsix_mask_step(struct vfunction *f)
{
	u32 end = MIN(f->table_masked + VMSIX_STEP, f->table_entries);

	for (; f->table_masked < end; f->table_masked++)
		device_entry(f, f->table_masked)[3] = PCI_MSIX_ENTRY_MASKED;
	return f->table_masked == f->table_entries;
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
		      (f->msix.masked || irqstorm_holds(f) ? (u32)MSIX_CONTROL_MASKED : 0);

	assert_locked(&f->bus->lock);
	device_config_write16(f, f->dev->msix + 2u, control >> 16);
}

/* The device's entry says what the guest's says, also while MSI-X is off or masked as a whole: so
 * the guest switches that by one register. */
static void update_device_entry(struct virq *q)
{
	struct vfunction *f = q->function;
	volatile u32 *e = device_entry(f, q->index);
	bool send = virq_update(q);
	u64 address;
	u32 data;

	e[3] = PCI_MSIX_ENTRY_MASKED;
	if (!send)
		return;
	iommu_irtes_message(&f->irtes, q->index, &address, &data);
	e[0] = (u32)address;
	e[1] = (u32)(address >> 32);
	e[2] = data;
	e[3] = 0;
}

void vmsix_open(struct vfunction *f, u32 i)
{
	assert_locked(&f->bus->lock);
	update_device_entry(&f->vector[i]);
}

/* The indices of the vectors. */
static u64 all_vectors(const struct vfunction *f)
{
	return f->nr_vectors ? ~0UL >> (64 - f->nr_vectors) : 0;
}

static void deliver_latched(struct vfunction *f)
{
	u64 which = read_once(&f->pending) & all_vectors(f);

	for (; which; which &= which - 1)
		virq_deliver_latched(&f->vector[__builtin_ctzl(which)]);
}

void vmsix_resume(struct vfunction *f)
{
	vmsix_update_control(f);
	if (f->msix.enabled)
		deliver_latched(f);
}

u64 vmsix_pending(const struct vfunction *f, u32 first, u32 nr)
{
	u64 bits = first < 64 ? (read_once(&f->pending) & all_vectors(f)) >> first : 0;

	assert_locked(&f->bus->lock);
	return nr < 64 ? bits & (BIT(nr) - 1) : bits;
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
	struct msix_control c = f->msix;

	assert_locked(&f->bus->lock);
	if (offset)
		return;
	msix_control_write(&c, value, mask);
	write_once(&f->msix.enabled, c.enabled);
	write_once(&f->msix.masked, c.masked);
	if (!c.enabled)
		virq_forget_latched(f, all_vectors(f));
	vmsix_update_control(f);
	deliver_latched(f);
}

/* --- the table ------------------------------------------------------------ */

u32 vmsix_table_read(const struct vfunction *f, u32 offset)
{
	static const struct msix_entry hidden = { .masked = true };
	u32 i = offset / MSIX_ENTRY_SIZE;

	assert_locked(&f->bus->lock);
	return msix_entry_read(i < f->nr_vectors ? &f->vector[i].message : &hidden,
			       offset % MSIX_ENTRY_SIZE);
}

void vmsix_table_write(struct vfunction *f, u32 offset, u32 value)
{
	u32 i = offset / MSIX_ENTRY_SIZE;

	assert_locked(&f->bus->lock);
	if (i >= f->nr_vectors)
		return;
	msix_entry_write(&f->vector[i].message, offset % MSIX_ENTRY_SIZE, value);
	update_device_entry(&f->vector[i]);
}
