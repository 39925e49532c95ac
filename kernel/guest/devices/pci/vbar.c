/* BARs as a guest sees them. See vbar.h. */
#include <kernel/guest/devices/pci/vbar.h>

#include <kernel/core/log.h>
#include <kernel/guest/devices/pci/vfunction.h>
#include <kernel/guest/devices/pci/vpci.h>
#include <kernel/guest/devices/pci/vtrap.h>
#include <kernel/guest/devices/pci/vwindow.h>
#include <kernel/guest/domain/domain.h>
#include <kernel/guest/memory/memory.h>

#define BAR_TYPE_64 0x4u
#define BAR_PREFETCHABLE 0x8u

static bool is_memory(const struct pci_bar *b)
{
	return b->size && !b->io;
}

/* What the guest sees: no two BARs share a page. */
static u64 bar_size(const struct pci_bar *b)
{
	return MAX(b->size, PAGE_SIZE);
}

/* --- mapping -------------------------------------------------------------- */

static bool map_direct(struct vfunction *f, u32 i, u64 from, u64 to)
{
	u64 host = f->dev->bar[i].base, guest = f->bar[i].mapped_at;

	return from >= to ||
	       !memory_map_device(&f->domain->vm.memory, (guest + from) >> PAGE_SHIFT,
				  (host + from) >> PAGE_SHIFT, (to - from) >> PAGE_SHIFT);
}

static void unmap_direct(struct vfunction *f, u32 i, u64 from, u64 to)
{
	u64 guest = f->bar[i].mapped_at;

	if (from < to)
		memory_unmap_device(&f->domain->vm.memory, (guest + from) >> PAGE_SHIFT,
				    (to - from) >> PAGE_SHIFT);
}

static void unmap_bar(struct vfunction *f, u32 i)
{
	u64 size = f->dev->bar[i].size, first, last;

	if (!f->bar[i].mapped)
		return;
	if (vtrap_pages(f, i, &first, &last)) {
		vtrap_remove(f, i, first);
		unmap_direct(f, i, 0, first);
		unmap_direct(f, i, last + 1, size);
	} else {
		unmap_direct(f, i, 0, size);
	}
	f->bar[i].mapped = false;
}

/* Map all parts or none. Fails where another BAR is already mapped. */
static bool map_parts(struct vfunction *f, u32 i)
{
	u64 size = f->dev->bar[i].size, first, last;

	if (!vtrap_pages(f, i, &first, &last))
		return map_direct(f, i, 0, size);
	if (!vtrap_add(f, i, first, last))
		return false;
	if (map_direct(f, i, 0, first)) {
		if (map_direct(f, i, last + 1, size))
			return true;
		unmap_direct(f, i, 0, first);
	}
	vtrap_remove(f, i, first);
	return false;
}

static void map_bar(struct vfunction *f, u32 i)
{
	static struct log_limit limit = LOG_LIMIT_INIT(3);
	struct vbar *b = &f->bar[i];

	if (!vwindow_contains(f, b->address, bar_size(&f->dev->bar[i])))
		return;
	b->mapped_at = b->address;
	b->mapped = map_parts(f, i);
	if (!b->mapped && log_allowed(&limit))
		log_warn("domain %s: BAR %u cannot be mapped at 0x%lx: something else is there",
			 f->domain->name, i, b->address);
}

void vbar_update(struct vfunction *f)
{
	bool decode = f->command & PCI_COMMAND_MEMORY;

	assert_locked(&f->bus->lock);
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

/* --- the registers -------------------------------------------------------- */

static bool is_upper_half(const struct vfunction *f, u32 i)
{
	return i && f->dev->bar[i - 1].is64;
}

u32 vbar_read(const struct vfunction *f, u32 i)
{
	const struct pci_bar *b = &f->dev->bar[i];

	assert_locked(&f->bus->lock);
	if (is_upper_half(f, i))
		return (u32)(f->bar[i - 1].address >> 32);
	if (!is_memory(b))
		return 0;
	return (u32)f->bar[i].address | (b->is64 ? BAR_TYPE_64 : 0) |
	       (b->prefetchable ? BAR_PREFETCHABLE : 0);
}

/* The bits below the size are read-only, so that a guest learns the size by writing all ones. */
void vbar_write(struct vfunction *f, u32 i, u32 value, u32 mask)
{
	u32 low = is_upper_half(f, i) ? i - 1 : i, shift = is_upper_half(f, i) ? 32 : 0;
	const struct pci_bar *b = &f->dev->bar[low];
	u64 new;

	assert_locked(&f->bus->lock);
	if (!is_memory(b))
		return;
	new = (f->bar[low].address & ~((u64)mask << shift)) | (u64)(value & mask) << shift;
	f->bar[low].address = new & ~(bar_size(b) - 1);
	vbar_update(f);
}
