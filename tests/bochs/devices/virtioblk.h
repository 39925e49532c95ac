/* A virtio block device (VIRTIO 1.2, 5.2) with one queue: read, write, flush and its name. */
#pragma once

#include <bochs/devices/virtio.h>

namespace bochs
{

/* What the sectors of a disk lie on. False: it failed. The device asks only for sectors that
 * there are. */
class BlockBackend
{
      public:
	static constexpr unsigned SECTOR = 512;

	virtual ~BlockBackend() = default;
	virtual uint64_t sectors() const = 0;
	virtual bool read_only() const = 0;
	virtual bool read(uint64_t sector, void *to, unsigned count) = 0;
	virtual bool write(uint64_t sector, const void *from, unsigned count) = 0;
	virtual bool flush() = 0;
};

class VirtioBlk : public Virtio
{
      public:
	/* The identity, up to 20 bytes, is what a driver asks for by VIRTIO_BLK_T_GET_ID. */
	VirtioBlk(Machine &machine, Knobs &knobs, Upstream &upstream, const std::string &name,
		  SourceId source, BlockBackend &backend, const std::string &identity,
		  bool ats = false);

      private:
	BlockBackend &backend;
	const std::string identity;
	uint64_t reads = 0, writes = 0, flushes = 0, errors = 0;
	/* So many of the next requests fail: NAME.fail. */
	uint64_t fail = 0;

	struct Request;
	void add_block_knobs();
	void notified(unsigned queue) override;
	void stopped() override;
	bool serve(const VirtqueueChain &chain);
	uint8_t perform(Request &request);
	uint8_t transfer(Request &request, bool in);
	uint8_t copy_identity(Request &request);
};

} // namespace bochs
