/* See kernel/guest/devices/virtio/vballoon.h. What the guest gives back goes the way of every page: nobody's until no CPU and no device can reach it. It
 * tells before it uses pages again, and waits for the answer: they are there then. Reporting free pages (VIRTIO_BALLOON_F_REPORTING)
 * is not offered, since it expects them to come back at a touch, which a device's DMA cannot wait for. */
#include <kernel/guest/devices/virtio/vballoon.h>

#include <kernel/mm/alloc.h>
#include <kernel/guest/domain/domain.h>
#include <kernel/lib/errno.h>
#include <kernel/core/log.h>
#include <kernel/guest/memory/memory.h>
#include <kernel/guest/memory/pool.h>
#include <kernel/guest/devices/virtio/vvirtio.h>

#define VIRTIO_ID_BALLOON 5
#define CLASS_OTHER 0x00ff00u
#define VIRTIO_BALLOON_F_MUST_TELL_HOST BIT(0)
#define INFLATE 0u /* the queues: pages that are given back, and that are wanted again */

/* Pages that one step deals with. */
#define STEP_PAGES 64u

struct vballoon {
	struct vvirtio dev;
	/* The configuration (5.5.4) */
	u32 num_pages, actual;
};

static struct vballoon *balloon_of(struct vvirtio *dev)
{
	return container_of(dev, struct vballoon, dev);
}

static u8 config_read(struct vvirtio *dev, u32 offset)
{
	const struct vballoon *b = balloon_of(dev);

	return (u8)((offset < 4 ? b->num_pages : b->actual) >> 8 * (offset % 4));
}

static void config_write(struct vvirtio *dev, u32 offset, u8 value)
{
	struct vballoon *b = balloon_of(dev);
	u32 shift = 8 * (offset % 4);

	if (offset >= 4)
		b->actual = (b->actual & ~(0xffu << shift)) | (u32)value << shift;
}

static void reset(struct vvirtio *dev)
{
	/* What was given back stays so: a driver that comes again finds `actual` as its predecessor left it. */
	(void)dev;
}

/* How many from the first on are neighbours, in rising or in falling order; *low: the lowest. */
static u32 neighbours(const u32 *page, u32 nr, u32 *low)
{
	u32 n = 1, step = nr > 1 && page[1] + 1 == page[0] ? ~0u : 1;

	while (n < nr && page[n] == page[n - 1] + step)
		n++;
	*low = MIN(page[0], page[n - 1]);
	return n;
}

static s64 take(struct vvirtio *dev, u32 queue, u64 gpa, u64 nr)
{
	s64 (*move)(struct memory *m, gfn_t gfn, u64 nr) = queue == INFLATE ? memory_release :
									      memory_populate;
	static struct log_limit limit = LOG_LIMIT_INIT(3);
	struct domain *d = dev->domain;
	u32 page[STEP_PAGES], low, n = (u32)MIN(nr / sizeof(page[0]), (u64)STEP_PAGES);
	s64 done;

	if (!n)
		return (s64)nr;
	if (guest_read(&d->vm.memory, gpa, page, n * sizeof(page[0])))
		return -EFAULT;
	n = neighbours(page, n, &low);
	done = move(&d->vm.memory, low, n);
	/* In falling order the last ones come first: they are passed over when it is their turn. */
	if (done > 0 && done < n && low != page[0])
		done = move(&d->vm.memory, page[0], 1);
	if (done == -ENOMEM && queue != INFLATE) {
		if (log_allowed(&limit))
			log_warn("domain %s: takes memory again that is not there: it waits", d->name);
		return -ENOMEM;
	}
	/* No memory of the guest's, or none for a table: that page stays as it is. */
	return done == -EAGAIN ? -EAGAIN : (s64)sizeof(page[0]) * MAX(done, 1);
}

static const struct vvirtio_ops ops = {
	.id = VIRTIO_ID_BALLOON,
	.class = CLASS_OTHER,
	.config_size = 8,
	.features = VIRTIO_BALLOON_F_MUST_TELL_HOST,
	.config_read = config_read,
	.config_write = config_write,
	.take = take,
	.reset = reset,
};

int vballoon_init(struct domain *d)
{
	struct vballoon *b = kzalloc(sizeof(*b));

	if (!b)
		return -ENOMEM;
	vvirtio_init(&b->dev, d, &ops);
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
		/* What is lent comes, but not at once. */
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
