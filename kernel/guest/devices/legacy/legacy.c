/* See kernel/guest/devices/legacy/legacy.h. */
#include <kernel/guest/devices/legacy/legacy.h>

#include <kernel/guest/domain/domain.h>
#include <kernel/lib/errno.h>
#include <kernel/mm/alloc.h>

static const struct {
	int (*add_ports)(struct legacy *l);
	void (*reset)(struct legacy *l); /* called with the lock held */
} devices[] = {
	{ vpit_add_ports, vpit_reset },
	{ vrtc_add_ports, vrtc_reset },
	{ vdebug_add_ports, vdebug_reset },
};

int legacy_create(struct domain *d)
{
	struct legacy *l = kzalloc(sizeof(*l));
	int ret = 0;

	if (!l)
		return -ENOMEM;
	spin_init(&l->lock, LOCK_LEGACY);
	l->domain = d;
	d->legacy = l;
	for (u32 i = 0; !ret && i < ARRAY_SIZE(devices); i++)
		ret = devices[i].add_ports(l);
	return ret;
}

void legacy_reset(struct domain *d)
{
	struct legacy *l = d->legacy;

	if (!l)
		return;
	spin_lock(&l->lock);
	for (u32 i = 0; i < ARRAY_SIZE(devices); i++)
		devices[i].reset(l);
	spin_unlock(&l->lock);
}

void legacy_destroy(struct domain *d)
{
	kfree(d->legacy);
	d->legacy = NULL;
}
