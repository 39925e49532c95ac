/* The split queues of an emulated virtio device (virtio 1.2, 2.7). */
#pragma once

#include <kernel/lib/compiler.h>

struct vcpu;
struct vvirtio;

/* The driver has written a notification for this queue. One bounded step of what is in it; the
 * write is executed again and again until all is done, so that its vCPU takes interrupts between
 * the steps, and may be stopped. -EAGAIN: execute it again (struct bus_range); v may have been
 * parked. No lock is held. */
int vvirtioqueue_notify(struct vvirtio *dev, struct vcpu *v, u32 queue);
