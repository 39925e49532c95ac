/* A guest's memory balloon. See vballoon.h.
 *
 * A page that the guest gives back is released like any other: it is free when neither a CPU nor a
 * device can reach it. Before the guest uses pages again, it must request them (MUST_TELL_HOST),
 * and it waits until they are there. Free page reporting (VIRTIO_BALLOON_F_REPORTING) is not
 * offered: the guest would expect pages to come back when they are accessed, and a device's DMA
 * cannot wait for that.
 */
#include <kernel/guest/devices/virtio/vballoon.h>

#include <kernel/core/log.h>
#include <kernel/guest/devices/virtio/vvirtio.h>
#include <kernel/guest/domain/domain.h>
#include <kernel/guest/memory/guestcopy.h>
#include <kernel/guest/memory/memory.h>
#include <kernel/guest/memory/memrelease.h>
#include <kernel/guest/memory/pool.h>
#include <kernel/guest/memory/populate.h>
#include <kernel/lib/errno.h>
#include <kernel/lib/step.h>
#include <kernel/mm/alloc.h>

#define VIRTIO_ID_BALLOON 5
#define CLASS_OTHER 0x00ff00u
#define VIRTIO_BALLOON_F_MUST_TELL_HOST BIT(0)
/* Queue 0 is for pages that the guest gives back, queue 1 for pages that it wants back (5.5.2). */
#define QUEUE_INFLATE 0u

/* How many pages one step handles. */
#define STEP_PAGES 64u

struct vballoon {
	struct vvirtio dev;
	/* The configuration (5.5.4). It survives a reset by the driver: pages that were given back
	 * stay given back, and the next driver finds the previous driver's value of `actual`. */
	u32 num_pages, actual;
};

static struct vballoon *balloon_of(struct vvirtio *dev)
{
	return container_of(dev, struct vballoon, dev);
}

static u8 balloon_config_read(struct vvirtio *dev, u32 offset)
{
	const struct vballoon *b = balloon_of(dev);

	return (u8)((offset < 4 ? b->num_pages : b->actual) >> 8 * (offset % 4));
}

static void balloon_config_write(struct vvirtio *dev, u32 offset, u8 value)
{
	struct vballoon *b = balloon_of(dev);
	u32 shift = 8 * (offset % 4);

	if (offset >= 4)
		b->actual = (b->actual & ~(0xffu << shift)) | (u32)value << shift;
}

/* How many page numbers, starting with the first, are consecutive in ascending or descending order.
 * *low: the lowest of them. */
static u32 count_neighbours(const u32 *page, u32 nr, u32 *low)
{
	u32 n = 1, step = nr > 1 && page[1] + 1 == page[0] ? ~0u : 1;

	while (n < nr && page[n] == page[n - 1] + step)
		n++;
	*low = MIN(page[0], page[n - 1]);
	return n;
}

/* Give back or take the first of n pages, and those after it if they are consecutive. Returns how
 * many, or the error of memory_release() or memory_populate(). */
static s64 move_pages(struct domain *d, u32 queue, const u32 *page, u32 n)
{
	s64 (*move)(struct memory *m, gfn_t gfn, u64 nr) = queue == QUEUE_INFLATE ? memory_release :
										    memory_populate;
	u32 low;
	s64 moved;

	n = count_neighbours(page, n, &low);
	moved = move(&d->vm.memory, low, n);
	/* In descending order the last pages were moved first; they are skipped when their turn
	 * comes. Move the first one too. */
	if (moved > 0 && moved < n && low != page[0])
		moved = move(&d->vm.memory, page[0], 1);
	return moved;
}

static int balloon_consume(struct vvirtio *dev, u32 queue, u64 gpa, u64 nr, u64 *done)
{
	static struct log_limit limit = LOG_LIMIT_INIT(3);
	struct domain *d = dev->domain;
	u32 page[STEP_PAGES], n = (u32)MIN(nr / sizeof(page[0]), (u64)STEP_PAGES);
	s64 moved;

	assert_locked(&dev->lock);
	if (!n) {
		*done = nr; /* less than a page number is left */
		return STEP_MORE;
	}
	if (guest_read(&d->vm.memory, gpa, page, n * sizeof(page[0])))
		return -EFAULT;
	moved = move_pages(d, queue, page, n);
	if (moved == -EAGAIN)
		return STEP_WAIT;
	if (moved == -ENOMEM && queue != QUEUE_INFLATE) {
		if (log_allowed(&limit))
			log_warn("domain %s: its balloon driver wants pages back, but the machine "
				 "has no free memory: it waits",
				 d->name);
		return STEP_MORE;
	}
	/* Skip a page that is not the guest's memory, or whose superpage cannot be split for lack
	 * of memory. */
	*done = sizeof(page[0]) * (u64)MAX(moved, 1);
	return STEP_MORE;
}

static const struct vvirtio_ops balloon_ops = {
	.id = VIRTIO_ID_BALLOON,
	.class = CLASS_OTHER,
	.config_size = 8,
	.features = VIRTIO_BALLOON_F_MUST_TELL_HOST,
	.config_read = balloon_config_read,
	.config_write = balloon_config_write,
	.consume = balloon_consume,
};

int vballoon_init(struct domain *d)
{
	struct vballoon *b = kzalloc(sizeof(*b));

	if (!b)
		return -ENOMEM;
	vvirtio_init(&b->dev, d, &balloon_ops);
	d->balloon = &b->dev;
	return 0;
}

void vballoon_free(struct domain *d)
{
	if (d->balloon)
		kfree(balloon_of(d->balloon));
}

void vballoon_power_on(struct domain *d)
{
	if (!d->balloon)
		return;
	balloon_of(d->balloon)->num_pages = balloon_of(d->balloon)->actual = 0;
	vvirtio_power_on(d->balloon);
}

int vballoon_ask(struct domain *d, u64 pages)
{
	struct vvirtio *dev = d->balloon;
	struct vballoon *b;
	int ret = 0;

	if (pages >= d->vm.memory.pages_limit)
		return -EINVAL;
	if (!dev)
		return -ENODEV;
	b = balloon_of(dev);
	spin_lock(&dev->lock);
	if (!vvirtio_is_driven(dev)) {
		ret = -ENODEV;
	} else if (pages < b->actual && alloc_free_frames() < b->actual - pages + POOL_RESERVE) {
		/* Memory that was lent to the control domain is reclaimed, but not immediately. */
		(void)pool_reclaim(b->actual - pages);
		ret = -ENOMEM;
	} else {
		b->num_pages = (u32)pages;
		vvirtio_config_changed(dev);
	}
	spin_unlock(&dev->lock);
	return ret;
}

bool vballoon_pages(const struct domain *d, u64 *asked, u64 *given)
{
	if (!d->balloon)
		return false;
	*asked = read_once(&balloon_of(d->balloon)->num_pages);
	*given = read_once(&balloon_of(d->balloon)->actual);
	return true;
}
