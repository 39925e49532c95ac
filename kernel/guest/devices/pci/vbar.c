/* BARs as a guest sees them. See vbar.h. */
#include <kernel/guest/devices/pci/vbar.h>

#include <kernel/core/log.h>
#include <kernel/guest/devices/pci/vfunction.h>
#include <kernel/guest/devices/pci/vpci.h>
#include <kernel/guest/devices/pci/vtrap.h>
#include <kernel/guest/devices/pci/vwindow.h>
#include <kernel/guest/domain/domain.h>
#include <kernel/guest/memory/memory.h>
#include <kernel/lib/errno.h>

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

/* Up to this offset, [at, ...) is all trapped or all direct. */
static u64 end_of_part(const struct vfunction *f, u32 i, u64 at, bool *trapped)
{
	u64 size = f->dev->bar[i].size, first, last;

	*trapped = false;
	if (!vtrap_pages(f, i, &first, &last) || at > last)
		return size;
	*trapped = at >= first;
	return *trapped ? last + 1 : first;
}

/* Extend what is mapped, within the budget. A step, or an error. */
static int map_step(struct vfunction *f, u32 i, u64 *budget)
{
	u64 host = f->dev->bar[i].base, guest = f->bar[i].mapped_at, end;
	struct vbar *b = &f->bar[i];
	int ret = STEP_DONE;
	bool trapped;

	while (!ret && b->to < f->dev->bar[i].size) {
		gfn_t gfn = (guest + b->to) >> PAGE_SHIFT;

		end = end_of_part(f, i, b->to, &trapped);
		if (!trapped) {
			ret = memory_map_device(&f->domain->vm.memory, &gfn,
						(guest + end) >> PAGE_SHIFT,
						(host + b->to) >> PAGE_SHIFT, budget);
			end = (gfn << PAGE_SHIFT) - guest;
		}
		b->to = end;
	}
	return ret;
}

static enum step unmap_step(struct vfunction *f, u32 i, u64 *budget)
{
	u64 guest = f->bar[i].mapped_at, end;
	struct vbar *b = &f->bar[i];
	enum step ret = STEP_DONE;
	bool trapped;

	while (!ret && b->from < b->to) {
		gfn_t gfn = (guest + b->from) >> PAGE_SHIFT;

		end = MIN(end_of_part(f, i, b->from, &trapped), b->to);
		if (!trapped) {
			ret = memory_unmap_device(&f->domain->vm.memory, &gfn,
						  (guest + end) >> PAGE_SHIFT, budget);
			end = (gfn << PAGE_SHIFT) - guest;
		}
		b->from = end;
	}
	return ret;
}

static void refuse(struct vfunction *f, u32 i)
{
	static struct log_limit limit = LOG_LIMIT_INIT(3);

	f->bar[i].refused = true;
	if (log_allowed(&limit))
		log_warn("domain %s: BAR %u cannot be mapped at 0x%lx: something else is there",
			 f->domain->name, i, f->bar[i].mapped_at);
}

/* False: the BAR stays out. */
static bool enter(struct vfunction *f, u32 i)
{
	struct vbar *b = &f->bar[i];
	u64 first, last;

	if ((b->refused && b->mapped_at == b->address) ||
	    !vwindow_contains(f, b->address, bar_size(&f->dev->bar[i])))
		return false;
	b->mapped_at = b->address;
	b->refused = false;
	b->from = b->to = 0;
	if (vtrap_pages(f, i, &first, &last) && !vtrap_add(f, i, first, last)) {
		refuse(f, i);
		return false;
	}
	b->state = VBAR_ENTERING;
	return true;
}

static void leave(struct vfunction *f, u32 i)
{
	u64 first, last;

	f->bar[i].state = VBAR_LEAVING;
	if (vtrap_pages(f, i, &first, &last))
		vtrap_remove(f, i, first);
}

/* Bring BAR i to where the guest wants it, within the budget. Either all of its parts are mapped in
 * the end or none: it stays out where another BAR is already mapped. */
static enum step move_bar(struct vfunction *f, u32 i, u64 *budget)
{
	struct vbar *b = &f->bar[i];
	int ret;

	for (;;) {
		bool stays = f->command & PCI_COMMAND_MEMORY && b->mapped_at == b->address;

		switch (b->state) {
		case VBAR_OUT:
			if (!(f->command & PCI_COMMAND_MEMORY) || !enter(f, i))
				return STEP_DONE;
			break;
		case VBAR_ENTERING:
			ret = stays ? map_step(f, i, budget) : -EAGAIN;
			if (ret == STEP_MORE)
				return STEP_MORE;
			if (ret == STEP_DONE)
				b->state = VBAR_IN;
			else
				leave(f, i);
			if (ret && stays)
				refuse(f, i);
			break;
		case VBAR_IN:
			if (stays)
				return STEP_DONE;
			leave(f, i);
			break;
		case VBAR_LEAVING:
			if (unmap_step(f, i, budget) == STEP_MORE)
				return STEP_MORE;
			b->state = VBAR_OUT;
			break;
		}
	}
}

enum step vbar_update(struct vfunction *f)
{
	u64 budget = MEMORY_STEP_ENTRIES;
	enum step ret = STEP_DONE;

	assert_locked(&f->bus->lock);
	/* A new write, not one that is repeated: what was in a BAR's place may have gone. */
	if (!f->bars_move)
		for (u32 i = 0; i < PCI_BARS; i++)
			f->bar[i].refused = false;
	for (u32 i = 0; i < PCI_BARS && !ret; i++)
		if (is_memory(&f->dev->bar[i]))
			ret = move_bar(f, i, &budget);
	f->bars_move = ret == STEP_MORE;
	return ret;
}

enum step vbar_unmap_all(struct vfunction *f)
{
	f->command &= (u16)~PCI_COMMAND_MEMORY;
	return vbar_update(f);
}

bool vbar_is_trapped(const struct vfunction *f, u32 i)
{
	assert_locked(&f->bus->lock);
	return f->bar[i].state == VBAR_ENTERING || f->bar[i].state == VBAR_IN;
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
enum step vbar_write(struct vfunction *f, u32 i, u32 value, u32 mask)
{
	u32 low = is_upper_half(f, i) ? i - 1 : i, shift = is_upper_half(f, i) ? 32 : 0;
	const struct pci_bar *b = &f->dev->bar[low];
	u64 new;

	assert_locked(&f->bus->lock);
	if (!is_memory(b))
		return STEP_DONE;
	new = (f->bar[low].address & ~((u64)mask << shift)) | (u64)(value & mask) << shift;
	f->bar[low].address = new & ~(bar_size(b) - 1);
	return vbar_update(f);
}
