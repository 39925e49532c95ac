/* Executes the requests of a virtio disk. */
#include <bochs/devices/virtioblk.h>

#include <algorithm>
#include <cstring>

namespace bochs
{

namespace
{

/* 5.2.3 */
constexpr uint64_t VIRTIO_BLK_F_SEG_MAX = 1ull << 2;
constexpr uint64_t VIRTIO_BLK_F_RO = 1ull << 5;
constexpr uint64_t VIRTIO_BLK_F_BLK_SIZE = 1ull << 6;
constexpr uint64_t VIRTIO_BLK_F_FLUSH = 1ull << 9;

struct BlockConfig { /* virtio_blk_config (5.2.4) up to blk_size, and the topology unused */
	uint64_t capacity;
	uint32_t size_max, seg_max;
	uint16_t cylinders;
	uint8_t heads, sectors;
	uint32_t blk_size;
	uint64_t topology;
};
static_assert(sizeof(BlockConfig) == 32, "VIRTIO 1.2, 5.2.4");

struct BlockHeader { /* the first part of virtio_blk_req (5.2.6) */
	uint32_t type, reserved;
	uint64_t sector;
};

constexpr uint32_t VIRTIO_BLK_T_IN = 0;
constexpr uint32_t VIRTIO_BLK_T_OUT = 1;
constexpr uint32_t VIRTIO_BLK_T_FLUSH = 4;
constexpr uint32_t VIRTIO_BLK_T_GET_ID = 8;

constexpr uint8_t VIRTIO_BLK_S_OK = 0;
constexpr uint8_t VIRTIO_BLK_S_IOERR = 1;
constexpr uint8_t VIRTIO_BLK_S_UNSUPP = 2;

constexpr unsigned ID_BYTES = 20;
constexpr unsigned PIECE_SECTORS = 64;

VirtioIdentity pci_identity(SourceId source, const BlockBackend &backend, bool ats)
{
	VirtioIdentity id = {};

	id.type = 2;
	id.class_code = 0x018000;
	id.source = source;
	id.features = VIRTIO_BLK_F_SEG_MAX | VIRTIO_BLK_F_BLK_SIZE | VIRTIO_BLK_F_FLUSH |
		      (backend.read_only() ? VIRTIO_BLK_F_RO : 0);
	id.queues = 1;
	id.config_bytes = sizeof(BlockConfig);
	id.ats = ats;
	return id;
}

} // namespace

struct VirtioBlk::Request {
	const VirtqueueChain &chain;
	BlockHeader header;
	uint64_t in_bytes; /* to be written, without the status */
	uint64_t out_bytes; /* to be read, without the header */
	uint64_t written; /* of in_bytes, in order */
};

VirtioBlk::VirtioBlk(Machine &machine_, Knobs &knobs_, Upstream &upstream, const std::string &name_,
		     SourceId source_, BlockBackend &backend_, const std::string &identity_,
		     bool ats)
	: Virtio(machine_, knobs_, upstream, name_, pci_identity(source_, backend_, ats)),
	  backend(backend_), identity(identity_)
{
	BlockConfig block = {};

	block.capacity = backend.sectors();
	block.seg_max = Virtqueue::MAX_SIZE - 2;
	block.blk_size = BlockBackend::SECTOR;
	memcpy(config.data(), &block, sizeof(block));
	add_block_knobs();
}

void VirtioBlk::add_block_knobs()
{
	knobs.add(name + ".reads", [this] { return std::to_string(reads); });
	knobs.add(name + ".writes", [this] { return std::to_string(writes); });
	knobs.add(name + ".flushes", [this] { return std::to_string(flushes); });
	knobs.add(name + ".errors", [this] { return std::to_string(errors); });
	knobs.add(name + ".fail", &fail);
}

void VirtioBlk::notified(unsigned index)
{
	VirtqueueChain chain;
	bool used = false;

	while (take(index, chain)) {
		if (!serve(chain))
			return;
		used = true;
	}
	if (used)
		interrupt(index);
}

void VirtioBlk::stopped()
{
}

/* False: there is no place for an answer. The status is the last byte that the device may write,
 * the header the first 16 that it may read, however the driver has cut them (2.7.4). */
bool VirtioBlk::serve(const VirtqueueChain &chain)
{
	uint64_t readable = chain.readable_bytes(), writable = chain.writable_bytes();

	if (readable < sizeof(BlockHeader) || !writable) {
		needs_reset("a request has no header or no status");
		return false;
	}
	Request request = { chain, {}, writable - 1, readable - sizeof(BlockHeader), 0 };
	uint8_t result = VIRTIO_BLK_S_IOERR;

	if (queue(0).read(chain, 0, &request.header, sizeof(request.header)))
		result = perform(request);
	if (result != VIRTIO_BLK_S_OK)
		errors++;
	bool answered = queue(0).write(chain, writable - 1, &result, 1);
	/* No more is said to be written than was, from the first byte on (2.7.8.2). */
	put(0, chain, request.written + (answered && request.written == request.in_bytes));
	return true;
}

uint8_t VirtioBlk::perform(Request &request)
{
	if (fail) {
		fail--;
		return VIRTIO_BLK_S_IOERR;
	}
	switch (request.header.type) {
	case VIRTIO_BLK_T_IN:
		reads++;
		return transfer(request, true);
	case VIRTIO_BLK_T_OUT:
		writes++;
		return backend.read_only() ? VIRTIO_BLK_S_IOERR : transfer(request, false);
	case VIRTIO_BLK_T_FLUSH:
		flushes++;
		if (!negotiated(VIRTIO_BLK_F_FLUSH))
			return VIRTIO_BLK_S_UNSUPP;
		return backend.flush() ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR;
	case VIRTIO_BLK_T_GET_ID:
		return copy_identity(request);
	}
	return VIRTIO_BLK_S_UNSUPP;
}

uint8_t VirtioBlk::transfer(Request &request, bool in)
{
	constexpr unsigned SECTOR = BlockBackend::SECTOR;
	uint64_t bytes = in ? request.in_bytes : request.out_bytes;
	uint64_t sector = request.header.sector, count = bytes / SECTOR;
	uint8_t piece[PIECE_SECTORS * SECTOR];
	Virtqueue &q = queue(0);

	if (bytes % SECTOR || sector > backend.sectors() || count > backend.sectors() - sector)
		return VIRTIO_BLK_S_IOERR;
	for (uint64_t done = 0; done < count;) {
		unsigned n = std::min<uint64_t>(count - done, PIECE_SECTORS);
		uint64_t at = done * SECTOR;
		bool good = in ? backend.read(sector + done, piece, n) &&
					    q.write(request.chain, at, piece, n * SECTOR) :
				 q.read(request.chain, sizeof(BlockHeader) + at, piece,
					n * SECTOR) &&
					    backend.write(sector + done, piece, n);
		if (!good)
			return VIRTIO_BLK_S_IOERR;
		done += n;
		if (in)
			request.written = done * SECTOR;
	}
	return VIRTIO_BLK_S_OK;
}

/* Padded with zeros; one of all 20 bytes has no end mark (5.2.6). */
uint8_t VirtioBlk::copy_identity(Request &request)
{
	char id[ID_BYTES] = {};

	if (request.in_bytes != ID_BYTES)
		return VIRTIO_BLK_S_IOERR;
	memcpy(id, identity.data(), std::min<size_t>(identity.size(), ID_BYTES));
	if (!queue(0).write(request.chain, 0, id, ID_BYTES))
		return VIRTIO_BLK_S_IOERR;
	request.written = ID_BYTES;
	return VIRTIO_BLK_S_OK;
}

} // namespace bochs
