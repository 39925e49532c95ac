/* A split virtqueue (VIRTIO 1.2, 2.7). */
#include <userland/drivers/virtqueue.h>

#include <kernel/lib/string.h>

/* Memory is shared with the device as with another CPU. Names of kernel/lib/atomic.h are not used:
 * this runs in a guest. */
static u16 load(const u16 *p)
{
	return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static void store(u16 *p, u16 value)
{
	__atomic_store_n(p, value, __ATOMIC_RELEASE);
}

/* Stores before it are visible before loads after it are done. */
static void full_barrier(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

void virtqueue_init(struct virtqueue *q, struct virtqueue_memory *memory, u16 size)
{
	memset(memory, 0, sizeof(*memory));
	*q = (struct virtqueue){ .memory = memory, .size = size, .free = size };
	for (u16 i = 0; i < size; i++)
		q->next[i] = (u16)(i + 1);
}

bool virtqueue_add(struct virtqueue *q, const struct virtqueue_buffer *buffer, u32 n,
		   bool device_writes, void *token)
{
	struct virtqueue_memory *m = q->memory;
	u16 head = q->free_head, at = head;

	if (!n || n > q->free)
		return false;
	for (u32 i = 0; i < n; i++) {
		struct vring_desc *d = &m->desc[at];

		d->address = (u64)buffer[i].data;
		d->length = buffer[i].length;
		d->next = q->next[at];
		d->flags = (u16)((i + 1 < n ? VRING_DESC_NEXT : 0) |
				 (device_writes ? VRING_DESC_WRITE : 0));
		at = q->next[at];
	}
	q->free_head = at;
	q->free = (u16)(q->free - n);
	q->chain[head].token = token;
	q->chain[head].length = (u16)n;
	m->avail.ring[q->avail_next++ & (q->size - 1)] = head;
	return true;
}

bool virtqueue_publish(struct virtqueue *q)
{
	struct virtqueue_memory *m = q->memory;

	if (m->avail.index == q->avail_next)
		return false;
	store(&m->avail.index, q->avail_next);
	full_barrier();
	return !(load(&m->used.flags) & VRING_USED_NO_NOTIFY);
}

/* Free the chain's descriptors and return its token. */
static void *release(struct virtqueue *q, u16 head)
{
	u16 last = head;

	for (u16 i = 1; i < q->chain[head].length; i++)
		last = q->next[last];
	q->next[last] = q->free_head;
	q->free_head = head;
	q->free = (u16)(q->free + q->chain[head].length);
	q->chain[head].length = 0;
	return q->chain[head].token;
}

bool virtqueue_take(struct virtqueue *q, void **token, u32 *length)
{
	const struct vring_used *used = &q->memory->used;
	u16 ready = (u16)(load(&used->index) - q->used_next);
	u32 id;

	if (q->broken || !ready)
		return false;
	id = used->ring[q->used_next & (q->size - 1)].id;
	*length = used->ring[q->used_next & (q->size - 1)].length;
	if (ready > q->size || id >= q->size || !q->chain[id].length) {
		q->broken = true;
		return false;
	}
	q->used_next++;
	*token = release(q, (u16)id);
	return true;
}

void *virtqueue_drop(struct virtqueue *q)
{
	for (u16 i = 0; i < q->size; i++)
		if (q->chain[i].length)
			return release(q, i);
	return NULL;
}

bool virtqueue_interrupts(struct virtqueue *q, bool on)
{
	struct virtqueue_memory *m = q->memory;

	store(&m->avail.flags, on ? 0 : VRING_AVAIL_NO_INTERRUPT);
	if (!on)
		return false;
	full_barrier();
	return !q->broken && load(&m->used.index) != q->used_next;
}
