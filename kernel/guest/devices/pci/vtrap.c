/* The trapped pages of a function's BARs. See vtrap.h. How a guest sets up its MSI-X interrupts:
 *
 *	the guest writes into the table   exit -> bus.c -> trap_write()
 *	                                    -> vmsix_table_write()   what it wrote is remembered
 *	                                    -> virq_update()         vCPU and vector, host vector
 *	                                    -> the device's own entry
 */
#include <kernel/guest/devices/pci/vtrap.h>

#include <drivers/pcipresence.h>
#include <kernel/core/paging.h>
#include <kernel/guest/devices/pci/vbar.h>
#include <kernel/guest/devices/pci/vfunction.h>
#include <kernel/guest/devices/pci/vmsix.h>
#include <kernel/guest/devices/pci/vpci.h>
#include <kernel/guest/domain/domain.h>

bool vtrap_pages(const struct vfunction *f, u32 i, u64 *first, u64 *last)
{
	bool any = false;

	*first = ~0UL;
	*last = 0;
	if (f->nr_vectors && f->msix_bar == i) {
		*first = f->msix_offset & PAGE_MASK;
		*last = ALIGN_UP(f->msix_offset + vmsix_table_size(f), PAGE_SIZE) - 1;
		any = true;
	}
	if (f->nr_vectors && f->pba_bar == i) {
		*first = MIN(*first, f->pba_offset & PAGE_MASK);
		*last = MAX(*last, ALIGN_UP(f->pba_offset + vmsix_pba_size(f), PAGE_SIZE) - 1);
		any = true;
	}
	/* The BAR is smaller than a page: the rest of that page does not belong to the guest. */
	if (f->dev->bar[i].size < PAGE_SIZE) {
		*first = 0;
		*last = f->dev->bar[i].size - 1;
		any = true;
	}
	*last = MIN(*last, f->dev->bar[i].size - 1);
	return any;
}

/* --- registers that are not emulated -------------------------------------- */

static volatile void *device_register(const struct vfunction *f, u32 bar, u64 at)
{
	volatile char *window = f->dev->window[bar];

	return window ? window + (at - f->window_offset[bar]) : NULL;
}

static u64 read_register(const struct vfunction *f, u32 bar, u64 at, unsigned int size)
{
	volatile void *r = device_register(f, bar, at);

	if (!r || at & (size - 1))
		return ~0UL;
	switch (size) {
	case 1:
		return *(volatile u8 *)r;
	case 2:
		return *(volatile u16 *)r;
	case 4:
		return *(volatile u32 *)r;
	default:
		return *(volatile u64 *)r;
	}
}

static void write_register(const struct vfunction *f, u32 bar, u64 at, unsigned int size, u64 value)
{
	volatile void *r = device_register(f, bar, at);

	if (!r || at & (size - 1))
		return;
	switch (size) {
	case 1:
		*(volatile u8 *)r = (u8)value;
		break;
	case 2:
		*(volatile u16 *)r = (u16)value;
		break;
	case 4:
		*(volatile u32 *)r = (u32)value;
		break;
	default:
		*(volatile u64 *)r = value;
	}
}

/* --- accesses ------------------------------------------------------------- */

/* The function that a trapped access is for; NULL: it is gone. *at: the offset in the BAR. BARs may
 * overlap, so the trap determines which BAR is accessed, not the address. */
static struct vfunction *trapped_function(struct vtrap *t, u64 offset, unsigned int size, u64 *at)
{
	struct vfunction *f = t->bus->slot[t->slot];
	u64 first, last;

	assert_locked(&t->bus->lock);
	if (!f || !vbar_is_trapped(f, t->bar) || !vtrap_pages(f, t->bar, &first, &last))
		return NULL;
	*at = first + offset;
	return *at + (size - 1) <= last ? f : NULL;
}

static bool is_in_msix_table(const struct vfunction *f, u32 bar, u64 offset)
{
	return f->nr_vectors && bar == f->msix_bar && offset >= f->msix_offset &&
	       offset < f->msix_offset + vmsix_table_size(f);
}

static bool is_in_pba(const struct vfunction *f, u32 bar, u64 offset)
{
	return f->nr_vectors && bar == f->pba_bar && offset >= f->pba_offset &&
	       offset < f->pba_offset + vmsix_pba_size(f);
}

/* The table allows only aligned accesses of dwords and quadwords (PCI Local Bus 3.0, 6.8.2). */
static bool suits_msix_table(u64 at, unsigned int size)
{
	return size >= 4 && !(at & (size - 1));
}

static int trap_read(void *ctx, struct vcpu *v __unused, u64 offset, unsigned int size, u64 *value)
{
	struct vtrap *t = ctx;
	struct vfunction *f;
	u64 at;

	*value = ~0UL >> (64 - 8 * size);
	spin_lock(&t->bus->lock);
	f = trapped_function(t, offset, size, &at);
	if (f && !is_in_msix_table(f, t->bar, at)) {
		*value &= read_register(f, t->bar, at, size);
		if (is_in_pba(f, t->bar, at))
			*value |= vmsix_pending(f, (u32)(at - f->pba_offset) * 8, size * 8);
	} else if (f && suits_msix_table(at, size)) {
		*value = vmsix_table_read(f, (u32)(at - f->msix_offset));
		if (size == 8)
			*value |= (u64)vmsix_table_read(f, (u32)(at - f->msix_offset) + 4) << 32;
	}
	/* That is what a device reads as that has been pulled out. */
	if (f && *value == ~0UL >> (64 - 8 * size))
		(void)pci_look(f->dev);
	spin_unlock(&t->bus->lock);
	return 0;
}

static int trap_write(void *ctx, struct vcpu *v __unused, u64 offset, unsigned int size, u64 value)
{
	struct vtrap *t = ctx;
	struct vfunction *f;
	u64 at;

	spin_lock(&t->bus->lock);
	f = trapped_function(t, offset, size, &at);
	if (f && is_in_msix_table(f, t->bar, at)) {
		if (suits_msix_table(at, size)) {
			vmsix_table_write(f, (u32)(at - f->msix_offset), (u32)value);
			if (size == 8)
				vmsix_table_write(f, (u32)(at - f->msix_offset) + 4,
						  (u32)(value >> 32));
		}
	} else if (f && !is_in_pba(f, t->bar, at)) {
		write_register(f, t->bar, at, size, value);
	}
	spin_unlock(&t->bus->lock);
	return 0;
}

/* --- adding and removing traps -------------------------------------------- */

bool vtrap_add(struct vfunction *f, u32 i, u64 first, u64 last)
{
	struct vtrap *t = &f->bus->trap[f->slot][i];
	struct bus_range r = {
		.first = f->bar[i].mapped_at + first,
		.last = f->bar[i].mapped_at + last,
		.ctx = t,
		.read = trap_read,
		.write = trap_write,
	};

	assert_locked(&f->bus->lock);
	*t = (struct vtrap){ .bus = f->bus, .slot = (u8)f->slot, .bar = (u8)i };
	if (!f->dev->window[i])
		f->dev->window[i] = mmio_map(f->dev->bar[i].base + first, last - first + 1);
	f->window_offset[i] = first;
	return f->dev->window[i] && !bus_add(&f->domain->vm.mmio, &r);
}

void vtrap_remove(const struct vfunction *f, u32 i, u64 first)
{
	bus_remove(&f->domain->vm.mmio, f->bar[i].mapped_at + first);
}
