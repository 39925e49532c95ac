/* Where a guest's BARs lie. See vwindow.h. */
#include <kernel/guest/devices/pci/vwindow.h>

#include <kernel/guest/devices/pci/vfunction.h>
#include <kernel/guest/devices/pci/vpci.h>
#include <kernel/guest/devices/virtio/vvirtioregs.h>
#include <kernel/guest/domain/domain.h>
#include <kernel/guest/memory/guestmap.h>
#include <kernel/guest/vcpu/cpuidcommon.h>
#include <kernel/lib/errno.h>

/* The window above RAM: it starts at a multiple of this, and is so large where the processor's
 * addresses are long enough. The nested tables have four levels. */
#define HIGH_ALIGNMENT (1UL << 30)
#define HIGH_SIZE (256UL << 30)
#define NESTED_BITS 47u
/* 64-bit prefetchable BARs of this size or more, which graphics cards have, leave the window below
 * 4 GiB to the others. Kernels of 32 bits, and Weir's own guests, cannot reach them. */
#define LARGE_BAR (64UL << 20)
/* Smaller ones go here first, so that there is a place for 256 MiB below. */
#define SMALL_FIRST 0xf0000000UL

static u32 address_bits(void)
{
	u32 bits = cpuid_common(0x80000008, 0).eax & 0xff;

	return bits ? MIN(bits, NESTED_BITS) : 36;
}

struct vwindow vwindow_above_ram(const struct domain *d)
{
	u64 ram = d->vm.memory.pages_limit << PAGE_SHIFT, limit = 1UL << address_bits();
	struct vwindow w = { .first = GUEST_HOLE_END };

	if (ram > GUEST_HOLE_START)
		w.first = ALIGN_UP(GUEST_HOLE_END + ram - GUEST_HOLE_START, HIGH_ALIGNMENT);
	w.end = MIN(w.first + HIGH_SIZE, limit);
	w.end = MAX(w.first, w.end);
	return w;
}

/* The balloon has the last page. */
static struct vwindow below_4g(const struct vfunction *f)
{
	u64 taken = f->domain->balloon ? VVIRTIO_BAR_SIZE : 0;

	return (struct vwindow){ VPCI_WINDOW_START, VPCI_WINDOW_END - taken };
}

static bool contains(struct vwindow w, u64 at, u64 size)
{
	return at >= w.first && at < w.end && size <= w.end - at;
}

bool vwindow_contains(const struct vfunction *f, u64 at, u64 size)
{
	return contains((struct vwindow){ VPCI_WINDOW_START, VPCI_WINDOW_END }, at, size) ||
	       contains(vwindow_above_ram(f->domain), at, size);
}

/* --- places --------------------------------------------------------------- */

static u64 bar_size(const struct pci_bar *b)
{
	return b->size && !b->io ? MAX(b->size, PAGE_SIZE) : 0;
}

u64 vwindow_total_size(const struct vfunction *f)
{
	u64 total = 0;

	for (u32 i = 0; i < PCI_BARS; i++)
		total += bar_size(&f->dev->bar[i]);
	return total;
}

/* The end of a place that f has and that overlaps [from, from + size), or 0. Places are what Weir
 * has chosen: so a guest that moves its BARs takes no room from a device that comes later. */
static u64 end_of_overlap(const struct vfunction *f, u64 from, u64 size)
{
	for (u32 i = 0; i < PCI_BARS; i++) {
		u64 place = f->bar[i].place, end = place + bar_size(&f->dev->bar[i]);

		if (place && from < end && place < from + size)
			return end;
	}
	return 0;
}

/* The lowest free place in a window for a BAR of f; 0: there is none. Each round begins behind
 * another BAR, so there are no more rounds than BARs on the bus. */
static u64 find_place(const struct vfunction *f, struct vwindow w, u64 size)
{
	u64 at = w.first, end;

	do {
		at = ALIGN_UP(at, size);
		if (!contains(w, at, size))
			return 0;
		end = end_of_overlap(f, at, size);
		for (u32 s = 0; s < VPCI_SLOTS && !end; s++)
			if (f->bus->slot[s])
				end = end_of_overlap(f->bus->slot[s], at, size);
		at = MAX(at, end);
	} while (end);
	return at;
}

static u64 choose_place(const struct vfunction *f, const struct pci_bar *b)
{
	bool prefers_high = b->is64 && b->prefetchable && b->size >= LARGE_BAR;
	struct vwindow low = below_4g(f), high = vwindow_above_ram(f->domain);
	u64 place = 0;

	if (prefers_high)
		place = find_place(f, high, bar_size(b));
	if (!place && b->size < LARGE_BAR)
		place = find_place(f, (struct vwindow){ SMALL_FIRST, low.end }, bar_size(b));
	if (!place)
		place = find_place(f, low, bar_size(b));
	if (!place && b->is64 && !prefers_high)
		place = find_place(f, high, bar_size(b));
	return place;
}

/* The largest BAR that has no place yet; PCI_BARS: all have one. */
static u32 largest_without_place(const struct vfunction *f)
{
	u32 found = PCI_BARS;

	for (u32 i = 0; i < PCI_BARS; i++) {
		u64 size = bar_size(&f->dev->bar[i]);

		if (size && !f->bar[i].place &&
		    (found == PCI_BARS || size > bar_size(&f->dev->bar[found])))
			found = i;
	}
	return found;
}

int vwindow_place(struct vfunction *f)
{
	u32 i;

	assert_locked(&f->bus->lock);
	for (i = 0; i < PCI_BARS; i++)
		f->bar[i].place = 0;
	while ((i = largest_without_place(f)) < PCI_BARS) {
		f->bar[i].place = choose_place(f, &f->dev->bar[i]);
		if (!f->bar[i].place)
			return -ENOSPC;
		f->bar[i].address = f->bar[i].place;
	}
	return 0;
}
