/* Follows the chains of a split ring and gives the buffers back. */
#include <bochs/devices/virtqueue.h>

#include <algorithm>

namespace bochs
{

namespace
{

/* Written as it lies in memory: the machine that runs this is little-endian, as virtio is. */
struct Descriptor { /* virtq_desc (2.7.5) */
	uint64_t address;
	uint32_t length;
	uint16_t flags, next;
};
static_assert(sizeof(Descriptor) == 16, "VIRTIO 1.2, 2.7.5");

constexpr uint16_t VIRTQ_DESC_F_NEXT = 1;
constexpr uint16_t VIRTQ_DESC_F_WRITE = 2;
constexpr uint16_t VIRTQ_DESC_F_INDIRECT = 4;
constexpr uint16_t VIRTQ_AVAIL_F_NO_INTERRUPT = 1;

struct UsedElement { /* virtq_used_elem (2.7.8) */
	uint32_t id, length;
};

/* Offsets in both rings (2.7.6, 2.7.8). */
constexpr unsigned RING_INDEX = 2;
constexpr unsigned RING_ELEMENTS = 4;

/* A driver must not make a chain longer than this (2.7.5). */
constexpr uint64_t MAX_CHAIN_BYTES = 1ull << 32;

uint64_t sum(const std::vector<VirtqueueBuffer> &buffers)
{
	uint64_t bytes = 0;

	for (const VirtqueueBuffer &buffer : buffers)
		bytes += buffer.length;
	return bytes;
}

/* Call step(address, done, bytes) for each piece of a range of the buffers. */
template <typename Step>
bool for_each_piece(const std::vector<VirtqueueBuffer> &buffers, uint64_t offset, unsigned bytes,
		    Step step)
{
	unsigned done = 0;

	for (const VirtqueueBuffer &buffer : buffers) {
		if (offset >= buffer.length) {
			offset -= buffer.length;
			continue;
		}
		unsigned piece = std::min<uint64_t>(buffer.length - offset, bytes - done);
		if (piece && !step(buffer.address + offset, done, piece))
			return false;
		done += piece;
		offset = 0;
	}
	return done == bytes;
}

} // namespace

uint64_t VirtqueueChain::readable_bytes() const
{
	return sum(readable);
}

uint64_t VirtqueueChain::writable_bytes() const
{
	return sum(writable);
}

Virtqueue::Virtqueue(VirtqueueMemory &memory_) : memory(memory_)
{
}

void Virtqueue::reset()
{
	registers = Registers();
	next_available = next_used = 0;
	reason = "";
}

const char *Virtqueue::wrong() const
{
	return reason;
}

bool Virtqueue::refuse(const char *why)
{
	reason = why;
	return false;
}

bool Virtqueue::enable()
{
	uint16_t size = registers.size;

	if (!size || size > MAX_SIZE || (size & (size - 1)))
		return refuse("the size of the queue is no power of two up to 256");
	if (registers.descriptors % 16 || registers.driver % 2 || registers.device % 4)
		return refuse("a ring is not aligned (VIRTIO 1.2, 2.7)");
	registers.enabled = true;
	return true;
}

bool Virtqueue::load16(uint64_t address, uint16_t &value)
{
	return memory.queue_read(address, &value, sizeof(value));
}

Virtqueue::Take Virtqueue::take(VirtqueueChain &chain)
{
	uint16_t index, head;

	if (*reason)
		return Take::broken;
	if (!load16(registers.driver + RING_INDEX, index)) {
		refuse("the available ring cannot be read");
		return Take::broken;
	}
	uint16_t waiting = index - next_available;
	if (!waiting)
		return Take::empty;
	if (waiting > registers.size) {
		refuse("the available index is more than the queue's size ahead");
		return Take::broken;
	}
	unsigned slot = next_available % registers.size;
	if (!load16(registers.driver + RING_ELEMENTS + 2 * slot, head)) {
		refuse("the available ring cannot be read");
		return Take::broken;
	}
	chain = VirtqueueChain();
	chain.head = head;
	if (!walk(chain))
		return Take::broken;
	next_available++;
	return Take::chain;
}

/* A chain longer than the queue goes in a circle, or the driver has lost count; neither is
 * allowed (2.7.5.3.1). */
bool Virtqueue::walk(VirtqueueChain &chain)
{
	uint64_t bytes = 0;
	uint16_t at = chain.head;
	Descriptor d;

	for (unsigned n = 0; n < registers.size; n++) {
		if (at >= registers.size)
			return refuse("a descriptor's index is outside the table");
		if (!memory.queue_read(registers.descriptors + 16ull * at, &d, sizeof(d)))
			return refuse("the descriptor table cannot be read");
		if (d.flags & VIRTQ_DESC_F_INDIRECT)
			return refuse("an indirect descriptor, which was not negotiated");
		bytes += d.length;
		if (bytes > MAX_CHAIN_BYTES)
			return refuse("a chain is longer than 4 GiB");
		if (d.flags & VIRTQ_DESC_F_WRITE)
			chain.writable.push_back({ d.address, d.length });
		else if (!chain.writable.empty())
			return refuse("a readable buffer follows a writable one");
		else
			chain.readable.push_back({ d.address, d.length });
		if (!(d.flags & VIRTQ_DESC_F_NEXT))
			return true;
		at = d.next;
	}
	return refuse("a chain has a loop");
}

bool Virtqueue::put(const VirtqueueChain &chain, uint32_t written)
{
	UsedElement element = { chain.head, written };
	uint64_t slot = next_used % registers.size;

	if (*reason)
		return false;
	if (!memory.queue_write(registers.device + RING_ELEMENTS + sizeof(element) * slot, &element,
				sizeof(element)))
		return refuse("the used ring cannot be written");
	/* The index is written last: it hands the element over. */
	next_used++;
	if (!memory.queue_write(registers.device + RING_INDEX, &next_used, sizeof(next_used)))
		return refuse("the used ring cannot be written");
	return true;
}

bool Virtqueue::interrupt_wanted()
{
	uint16_t flags;

	if (*reason)
		return false;
	if (!load16(registers.driver, flags))
		return refuse("the available ring cannot be read");
	return !(flags & VIRTQ_AVAIL_F_NO_INTERRUPT);
}

bool Virtqueue::read(const VirtqueueChain &chain, uint64_t offset, void *to, unsigned bytes)
{
	auto step = [&](uint64_t address, unsigned done, unsigned piece) {
		return memory.queue_read(address, static_cast<uint8_t *>(to) + done, piece);
	};
	return for_each_piece(chain.readable, offset, bytes, step);
}

bool Virtqueue::write(const VirtqueueChain &chain, uint64_t offset, const void *from,
		      unsigned bytes)
{
	auto step = [&](uint64_t address, unsigned done, unsigned piece) {
		return memory.queue_write(address, static_cast<const uint8_t *>(from) + done,
					  piece);
	};
	return for_each_piece(chain.writable, offset, bytes, step);
}

} // namespace bochs
