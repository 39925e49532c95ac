/* The split queues of an emulated virtio device. See vvirtioqueue.h. */
#include <kernel/guest/devices/virtio/vvirtioqueue.h>

#include <kernel/guest/devices/virtio/vvirtio.h>
#include <kernel/guest/devices/virtio/vvirtioirq.h>
#include <kernel/guest/domain/domain.h>
#include <kernel/guest/memory/guestcopy.h>
#include <kernel/guest/memory/memory.h>
#include <kernel/guest/vcpu/vcpu.h>
#include <kernel/guest/vcpu/vcpustate.h>
#include <kernel/lib/errno.h>
#include <kernel/lib/step.h>

/* 2.7.5 */
struct descriptor {
	u64 address;
	u32 length;
	u16 flags, next;
};
_Static_assert(sizeof(struct descriptor) == 16, "virtio 1.2, 2.7.5");
#define DESC_NEXT 1u
#define DESC_WRITE 2u /* the device would write into it; Weir skips it */
#define AVAIL_NO_INTERRUPT 1u

/* Start the next chain. STEP_MORE: there is one; STEP_DONE: there is none; or an error. */
static int begin_chain(struct vvirtio *dev, struct vvirtio_queue *q)
{
	u16 available;
	int ret = guest_read(&dev->domain->vm.memory, q->driver + 2, &available, sizeof(available));

	if (ret)
		return ret;
	if (available == q->taken)
		return STEP_DONE;
	if ((u16)(available - q->taken) > q->size)
		return -EINVAL;
	ret = guest_read(&dev->domain->vm.memory, q->driver + 4 + 2 * (q->taken % q->size),
			 &q->head, sizeof(q->head));
	if (ret)
		return ret;
	q->at = q->head;
	q->left = q->size;
	q->offset = 0;
	q->taken++;
	q->busy = true;
	return STEP_MORE;
}

/* The chain has been processed: return it to the driver. STEP_MORE, or an error. */
static int finish_chain(struct vvirtio *dev, struct vvirtio_queue *q)
{
	const struct {
		u32 id, length;
	} element = { q->head, 0 };
	u16 flags;
	int ret = guest_write(&dev->domain->vm.memory, q->device + 4 + 8 * (q->used % q->size),
			      &element, sizeof(element));

	/* Flags and index are one dword. The update is atomic, so that the driver never sees half
	 * of an index. */
	if (!ret)
		ret = guest_cmpxchg(&dev->domain->vm.memory, q->device, 4, (u32)q->used << 16,
				    (u32)(u16)(q->used + 1) << 16);
	q->used++;
	q->busy = false;
	if (!ret)
		ret = guest_read(&dev->domain->vm.memory, q->driver, &flags, sizeof(flags));
	if (ret)
		return ret;
	if (!(flags & AVAIL_NO_INTERRUPT))
		vvirtioirq_raise(dev, q->vector);
	return STEP_MORE;
}

/* Process a bounded part of the chain in progress. Returns a step, or an error. */
static int continue_chain(struct vvirtio *dev, u32 number)
{
	struct vvirtio_queue *q = &dev->queue[number];
	struct descriptor d;
	u64 done = 0;
	int ret;

	if (q->at >= q->size || !q->left)
		return -EINVAL;
	ret = guest_read(&dev->domain->vm.memory, q->desc + sizeof(d) * q->at, &d, sizeof(d));
	if (ret)
		return ret;
	if (!(d.flags & DESC_WRITE) && q->offset < d.length) {
		ret = dev->ops->consume(dev, number, d.address + q->offset, d.length - q->offset,
					&done);
		q->offset += done;
		return ret;
	}
	q->offset = 0;
	q->left--;
	q->at = d.next;
	return d.flags & DESC_NEXT ? (int)STEP_MORE : finish_chain(dev, q);
}

/* Process a bounded part of the queue. STEP_DONE: nothing is left; STEP_MORE: there may be more;
 * STEP_WAIT: continue when the domain is woken; or an error: the driver did something wrong. */
static int run_queue_step(struct vvirtio *dev, u32 number)
{
	const struct vvirtio_queue *q = &dev->queue[number];

	assert_locked(&dev->lock);
	if (!q->enabled || !vvirtio_is_driven(dev))
		return STEP_DONE;
	return q->busy ? continue_chain(dev, number) : begin_chain(dev, &dev->queue[number]);
}

int vvirtioqueue_notify(struct vvirtio *dev, struct vcpu *v, u32 queue)
{
	int ret;

	if (queue >= VVIRTIO_QUEUES)
		return 0;
	vcpu_prepare_park(v);
	spin_lock(&dev->lock);
	ret = run_queue_step(dev, queue);
	if (ret < 0)
		vvirtio_needs_reset(dev);
	spin_unlock(&dev->lock);
	if (ret == STEP_WAIT)
		vcpu_park(v);
	return ret == STEP_MORE || ret == STEP_WAIT ? -EAGAIN : 0;
}
