/* A split virtqueue (VIRTIO 1.2, 2.7) as its device sees it. Everything the driver wrote is
 * doubted: a ring or a chain that breaks a rule is refused, with what is wrong. Packed rings,
 * indirect descriptors and event indices are not offered. */
#pragma once

#include <cstdint>
#include <vector>

namespace bochs
{

/* How the device reaches the rings and buffers. False: the access is blocked. */
class VirtqueueMemory
{
      public:
	virtual ~VirtqueueMemory() = default;
	virtual bool queue_read(uint64_t address, void *to, unsigned bytes) = 0;
	virtual bool queue_write(uint64_t address, const void *from, unsigned bytes) = 0;
};

struct VirtqueueBuffer {
	uint64_t address;
	uint32_t length;
};

/* One descriptor chain: what the device may read, then what it may write. */
struct VirtqueueChain {
	uint16_t head = 0;
	std::vector<VirtqueueBuffer> readable, writable;

	uint64_t readable_bytes() const;
	uint64_t writable_bytes() const;
};

class Virtqueue
{
      public:
	static constexpr uint16_t MAX_SIZE = 256;
	static constexpr uint16_t NO_VECTOR = 0xffff;

	explicit Virtqueue(VirtqueueMemory &memory);

	/* What the driver set through the common configuration (4.1.4.3). */
	struct Registers {
		uint16_t size = MAX_SIZE;
		uint16_t vector = NO_VECTOR;
		bool enabled = false;
		uint64_t descriptors = 0, driver = 0, device = 0;
	};
	Registers registers;

	/* Back to the state after reset: disabled, nothing taken. */
	void reset();
	/* False: size or addresses are not those of a split virtqueue; wrong() says why. */
	bool enable();

	enum class Take { chain, empty, broken };
	Take take(VirtqueueChain &chain);
	/* Give a chain back, `written` bytes from its first writable buffer on. False: broken. */
	bool put(const VirtqueueChain &chain, uint32_t written);
	/* The driver wants an interrupt for used buffers (2.7.7). False as well if broken. */
	bool interrupt_wanted();
	/* Empty until something is broken. */
	const char *wrong() const;

	/* Copy between the device and a chain, `offset` bytes into its readable or its writable
	 * part. False: the chain is shorter, or the access is blocked; a part may be copied. */
	bool read(const VirtqueueChain &chain, uint64_t offset, void *to, unsigned bytes);
	bool write(const VirtqueueChain &chain, uint64_t offset, const void *from, unsigned bytes);

      private:
	VirtqueueMemory &memory;
	uint16_t next_available = 0, next_used = 0;
	const char *reason = "";

	bool walk(VirtqueueChain &chain);
	bool refuse(const char *why);
	bool load16(uint64_t address, uint16_t &value);
};

} // namespace bochs
