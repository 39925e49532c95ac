/* BARs as a guest sees them. The real ones never move: the guest's are numbers, and where decoding
 * is on, the device's registers are mapped there. What must not be touched directly (the MSI-X
 * table, a page that is shared with something else) is trapped. */
#include <kernel/guest/devices/pci/vpcifn.h>

#include <kernel/guest/domain/domain.h>
#include <kernel/lib/errno.h>
#include <kernel/guest/devices/guestacpi.h>
#include <kernel/core/log.h>
#include <kernel/guest/memory/memory.h>
#include <kernel/core/paging.h>

/* A guest's window for devices below 4 GiB: no RAM, no APIC. Its ACPI tables say so. */
#define WINDOW_START GUEST_PCI_WINDOW_START
#define WINDOW_END GUEST_PCI_WINDOW_END

static bool is_memory(const struct pci_bar *b)
{
	return b->size && !b->io;
}

static u64 bar_size(const struct pci_bar *b)
{
	return MAX(b->size, PAGE_SIZE);
}

static u64 end_of_bars(const struct vfunction *f)
{
	u64 end = 0;

	for (u32 i = 0; i < PCI_BARS; i++)
		if (is_memory(&f->dev->bar[i]))
			end = MAX(end, f->bar[i].address + bar_size(&f->dev->bar[i]));
	return end;
}

int vbar_place(struct vfunction *f)
{
	u64 next = WINDOW_START;

	/* Behind what the domain's other functions got. */
	for (u32 s = 0; s < VPCI_SLOTS; s++)
		if (f->bus->slot[s])
			next = MAX(next, end_of_bars(f->bus->slot[s]));
	for (u32 i = 0; i < PCI_BARS; i++) {
		const struct pci_bar *b = &f->dev->bar[i];
		u64 size = bar_size(b);

		if (!is_memory(b))
			continue;
		next = ALIGN_UP(next, size);
		if (size > WINDOW_END - WINDOW_START || next + size > WINDOW_END)
			return -ENOSPC;
		f->bar[i].address = next;
		next += size;
	}
	return 0;
}

/* --- trapped pages ------------------------------------------------------------------------------------------------------------ */

/* Pages of BAR i that hold the MSI-X table or the pending bits: [*first, *last], bytes in the
 * BAR. */
static bool trapped_pages(const struct vfunction *f, u32 i, u64 *first, u64 *last)
{
	bool any = false;
	u64 table_end = f->msix_offset + 16 * f->nr_vectors;
	u64 pba_end = f->pba_offset + ALIGN_UP(f->nr_vectors, 64) / 8;

	*first = ~0UL;
	*last = 0;
	if (f->nr_vectors && f->msix_bar == i) {
		*first = f->msix_offset & PAGE_MASK;
		*last = ALIGN_UP(table_end, PAGE_SIZE) - 1;
		any = true;
	}
	if (f->nr_vectors && f->pba_bar == i) {
		*first = MIN(*first, f->pba_offset & PAGE_MASK);
		*last = MAX(*last, ALIGN_UP(pba_end, PAGE_SIZE) - 1);
		any = true;
	}
	/* Less than a page: what else is in that page is not the guest's. */
	if (f->dev->bar[i].size < PAGE_SIZE) {
		*first = 0;
		*last = f->dev->bar[i].size - 1;
		any = true;
	}
	*last = MIN(*last, f->dev->bar[i].size - 1);
	return any;
}

/* The BAR that a trapped access is for, NULL if it is not there any more; *at is the offset in it. BARs may lie on top of each
 * other, so it is the trap that says which one is meant, not the address. */
static struct vfunction *trapped_bar(const struct vtrap *t, u64 offset, unsigned int size, u32 *bar,
				     u64 *at)
{
	struct vfunction *f = t->bus->slot[t->slot];
	u64 first, last;

	*bar = t->bar;
	if (!f || !f->bar[t->bar].mapped || !trapped_pages(f, t->bar, &first, &last))
		return NULL;
	*at = first + offset;
	return *at + (size - 1) <= last ? f : NULL;
}

static bool in_msix_table(const struct vfunction *f, u32 bar, u64 offset)
{
	return f->nr_vectors && bar == f->msix_bar && offset >= f->msix_offset &&
	       offset < f->msix_offset + 16 * f->nr_vectors;
}

static bool in_pba(const struct vfunction *f, u32 bar, u64 offset)
{
	return f->nr_vectors && bar == f->pba_bar && offset >= f->pba_offset &&
	       offset < f->pba_offset + ALIGN_UP(f->nr_vectors, 64) / 8;
}

static volatile void *real_register(const struct vfunction *f, u32 bar, u64 offset)
{
	volatile char *window = f->dev->window[bar];

	return window ? window + (offset - f->window_offset[bar]) : NULL;
}

static u64 real_read(const struct vfunction *f, u32 bar, u64 offset, unsigned int size)
{
	volatile void *r = real_register(f, bar, offset);

	if (!r || offset & (size - 1))
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

static void real_write(const struct vfunction *f, u32 bar, u64 offset, unsigned int size, u64 value)
{
	volatile void *r = real_register(f, bar, offset);

	if (!r || offset & (size - 1))
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

/* The table takes aligned dwords and quadwords only (PCI Local Bus 3.0, 6.8.2). */
static int trap_read(void *ctx, struct vcpu *v __unused, u64 offset, unsigned int size, u64 *value)
{
	struct vtrap *t = ctx;
	struct vfunction *f;
	u32 bar;
	u64 at;

	*value = ~0UL >> (64 - 8 * size);
	spin_lock(&t->bus->lock);
	f = trapped_bar(t, offset, size, &bar, &at);
	if (f) {
		if (!in_msix_table(f, bar, at)) {
			*value &= real_read(f, bar, at, size);
		} else if (size >= 4 && !(at & (size - 1))) {
			*value = vmsix_table_read(f, (u32)(at - f->msix_offset));
			if (size == 8)
				*value |= (u64)vmsix_table_read(f, (u32)(at - f->msix_offset) + 4)
					  << 32;
		}
	}
	spin_unlock(&t->bus->lock);
	return 0;
}

static int trap_write(void *ctx, struct vcpu *v __unused, u64 offset, unsigned int size, u64 value)
{
	struct vtrap *t = ctx;
	struct vfunction *f;
	u32 bar;
	u64 at;

	spin_lock(&t->bus->lock);
	f = trapped_bar(t, offset, size, &bar, &at);
	if (f) {
		if (in_msix_table(f, bar, at)) {
			if (size >= 4 && !(at & (size - 1))) {
				vmsix_table_write(f, (u32)(at - f->msix_offset), (u32)value);
				if (size == 8)
					vmsix_table_write(f, (u32)(at - f->msix_offset) + 4,
							  (u32)(value >> 32));
			}
		} else if (!in_pba(f, bar, at)) {
			real_write(f, bar, at, size, value);
		}
	}
	spin_unlock(&t->bus->lock);
	return 0;
}

/* --- mapping -------------------------------------------------------------------------------------------------------------------- */

static bool map_direct(struct vfunction *f, u32 i, u64 from, u64 to)
{
	u64 host = f->dev->bar[i].base, guest = f->bar[i].mapped_at;

	return from >= to ||
	       !memory_map_device(&f->domain->vm.memory, (guest + from) >> PAGE_SHIFT,
				  (host + from) >> PAGE_SHIFT, (to - from) >> PAGE_SHIFT);
}

static void unmap_direct(struct vfunction *f, u32 i, u64 from, u64 to)
{
	if (from < to)
		memory_unmap_device(&f->domain->vm.memory, (f->bar[i].mapped_at + from) >> PAGE_SHIFT,
				    (to - from) >> PAGE_SHIFT);
}

static bool add_trap(struct vfunction *f, u32 i, u64 first, u64 last)
{
	struct vtrap *t = &f->bus->trap[f->slot][i];
	struct bus_range r = {
		.first = f->bar[i].mapped_at + first,
		.last = f->bar[i].mapped_at + last,
		.ctx = t,
		.read = trap_read,
		.write = trap_write,
	};

	*t = (struct vtrap){ .bus = f->bus, .slot = (u8)f->slot, .bar = (u8)i };
	if (!f->dev->window[i])
		f->dev->window[i] = mmio_map(f->dev->bar[i].base + first, last - first + 1);
	f->window_offset[i] = first;
	return f->dev->window[i] && !bus_add(&f->domain->vm.mmio, &r);
}

static void unmap_bar(struct vfunction *f, u32 i)
{
	u64 size = f->dev->bar[i].size, first, last;

	if (!f->bar[i].mapped)
		return;
	if (trapped_pages(f, i, &first, &last)) {
		bus_remove(&f->domain->vm.mmio, f->bar[i].mapped_at + first);
		unmap_direct(f, i, 0, first);
		unmap_direct(f, i, last + 1, size);
	} else {
		unmap_direct(f, i, 0, size);
	}
	f->bar[i].mapped = false;
}

/* All of it or nothing, and nothing that another BAR has there. */
static bool map_parts(struct vfunction *f, u32 i)
{
	u64 size = f->dev->bar[i].size, first, last;

	if (!trapped_pages(f, i, &first, &last))
		return map_direct(f, i, 0, size);
	if (!add_trap(f, i, first, last))
		return false;
	if (map_direct(f, i, 0, first)) {
		if (map_direct(f, i, last + 1, size))
			return true;
		unmap_direct(f, i, 0, first);
	}
	bus_remove(&f->domain->vm.mmio, f->bar[i].mapped_at + first);
	return false;
}

static void map_bar(struct vfunction *f, u32 i)
{
	static struct log_limit limit = LOG_LIMIT_INIT(3);
	struct vbar *b = &f->bar[i];

	if (b->address < WINDOW_START || b->address >= WINDOW_END ||
	    bar_size(&f->dev->bar[i]) > WINDOW_END - b->address)
		return;
	b->mapped_at = b->address;
	b->mapped = map_parts(f, i);
	if (!b->mapped && log_allowed(&limit))
		log_warn("domain %s: BAR %u cannot be mapped at 0x%lx, where something else is",
			 f->domain->name, i, b->address);
}

void vbar_update(struct vfunction *f)
{
	bool decode = f->command & PCI_COMMAND_MEMORY;

	for (u32 i = 0; i < PCI_BARS; i++) {
		struct vbar *b = &f->bar[i];

		if (!is_memory(&f->dev->bar[i]))
			continue;
		if (b->mapped && (!decode || b->mapped_at != b->address))
			unmap_bar(f, i);
		if (!b->mapped && decode)
			map_bar(f, i);
	}
}

void vbar_unmap_all(struct vfunction *f)
{
	f->command &= (u16)~PCI_COMMAND_MEMORY;
	vbar_update(f);
}

/* --- the registers ---------------------------------------------------------------------------------------------------------------- */

static bool is_upper_half(const struct vfunction *f, u32 i)
{
	return i && f->dev->bar[i - 1].is64;
}

u32 vbar_read(const struct vfunction *f, u32 i)
{
	const struct pci_bar *b = &f->dev->bar[i];

	if (is_upper_half(f, i))
		return (u32)(f->bar[i - 1].address >> 32);
	if (!is_memory(b))
		return 0;
	return (u32)f->bar[i].address | (b->is64 ? PCI_BAR_TYPE_64 : 0) |
	       (b->prefetchable ? PCI_BAR_PREFETCHABLE : 0);
}

/* The bits below the size do not stick, so that writing all ones tells the size. */
void vbar_write(struct vfunction *f, u32 i, u32 value, u32 mask)
{
	u32 low = is_upper_half(f, i) ? i - 1 : i, shift = is_upper_half(f, i) ? 32 : 0;
	const struct pci_bar *b = &f->dev->bar[low];
	u64 new;

	if (!is_memory(b))
		return;
	new = (f->bar[low].address & ~((u64)mask << shift)) | (u64)(value & mask) << shift;
	f->bar[low].address = new & ~(bar_size(b) - 1);
	vbar_update(f);
}
