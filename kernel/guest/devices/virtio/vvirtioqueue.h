/* The split queues of an emulated virtio device (virtio 1.2, 2.7). */
#pragma once

#include <kernel/lib/compiler.h>

struct vcpu;
struct vvirtio;

/* v has written a notification for this queue: process one bounded step of it. The guest's write is
 * executed again until the queue is empty, so that v can take interrupts between the steps, and can
 * be stopped. -EAGAIN: execute the write again (struct bus_range); v may have been parked. No lock
 * is held. */
int vvirtioqueue_notify(struct vvirtio *dev, struct vcpu *v, u32 queue);
