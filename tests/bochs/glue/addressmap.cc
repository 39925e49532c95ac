/* See addressmap.h. */
#include <bochs/glue/addressmap.h>

#include <bochs/glue/bochsheaders.h>
#include <bochs/glue/pieces.h>

namespace bochs
{

static constexpr uint64_t block_bytes = 0x10000;

/* Its address is what Bochs knows the handler by. */
struct AddressMap::Block {
	AddressMap *map;
	uint64_t bytes;
	unsigned users;
};

static bool read_handler(bx_phy_address address, unsigned bytes, void *data, void *map)
{
	return (*static_cast<AddressMap **>(map))->read(address, bytes, data);
}

static bool write_handler(bx_phy_address address, unsigned bytes, void *data, void *map)
{
	return (*static_cast<AddressMap **>(map))->write(address, bytes, data);
}

AddressMap::AddressMap() = default;
AddressMap::~AddressMap() = default;

bool AddressMap::overlaps(uint64_t first, uint64_t bytes) const
{
	auto next = ranges.lower_bound(first);

	if (next != ranges.end() && next->first - first < bytes)
		return true;
	return next != ranges.begin() &&
	       first - std::prev(next)->first < std::prev(next)->second.bytes;
}

bool AddressMap::use_block(uint64_t first, uint64_t bytes)
{
	auto [found, fresh] = blocks.emplace(first, Block{ this, bytes, 0 });
	Block &block = found->second;

	if (fresh && !DEV_register_memory_handlers(&block, read_handler, write_handler, first,
						   first + bytes - 1)) {
		blocks.erase(found);
		return false;
	}
	block.users++;
	return true;
}

void AddressMap::leave_block(uint64_t first)
{
	auto found = blocks.find(first);

	if (--found->second.users)
		return;
	DEV_unregister_memory_handlers(&found->second, first, first + found->second.bytes - 1);
	blocks.erase(found);
}

/* A range of many whole blocks is one for Bochs; smaller ones share theirs. */
static bool is_alone(uint64_t first, uint64_t bytes)
{
	return bytes > block_bytes && first % block_bytes == 0 && bytes % block_bytes == 0;
}

std::string AddressMap::add(uint64_t first, uint64_t bytes, Read read, Write write)
{
	uint64_t from = first - first % block_bytes;

	if (overlaps(first, bytes))
		return "another range of ours is there";
	if (is_alone(first, bytes)) {
		if (!use_block(first, bytes))
			return "a device of Bochs is there";
	} else {
		for (uint64_t at = from; at < first + bytes; at += block_bytes) {
			if (use_block(at, block_bytes))
				continue;
			for (uint64_t done = from; done < at; done += block_bytes)
				leave_block(done);
			return "a device of Bochs is there";
		}
	}
	ranges.emplace(first, Range{ bytes, std::move(read), std::move(write) });
	return "";
}

void AddressMap::remove(uint64_t first)
{
	auto found = ranges.find(first);

	if (found == ranges.end())
		return;
	uint64_t bytes = found->second.bytes;
	ranges.erase(found);
	if (is_alone(first, bytes)) {
		leave_block(first);
		return;
	}
	for (uint64_t at = first - first % block_bytes; at < first + bytes; at += block_bytes)
		leave_block(at);
}

const AddressMap::Range *AddressMap::find(uint64_t address, unsigned bytes, uint64_t &offset) const
{
	auto next = ranges.upper_bound(address);

	if (next == ranges.begin())
		return nullptr;
	auto found = std::prev(next);
	offset = address - found->first;
	return offset + bytes <= found->second.bytes ? &found->second : nullptr;
}

bool AddressMap::read(uint64_t address, unsigned bytes, void *to)
{
	uint64_t offset;
	const Range *range = find(address, bytes, offset);
	uint8_t *at = static_cast<uint8_t *>(to);

	if (!range)
		return false;
	while (bytes) {
		unsigned part = piece(offset, bytes);
		uint64_t value = range->read(offset, part);
		memcpy(at, &value, part);
		offset += part, at += part, bytes -= part;
	}
	return true;
}

/* The range may go away under the write, by a BAR that moves itself. */
bool AddressMap::write(uint64_t address, unsigned bytes, const void *from)
{
	uint64_t offset;
	const Range *range = find(address, bytes, offset);
	const uint8_t *at = static_cast<const uint8_t *>(from);

	if (!range)
		return false;
	Write write = range->write;
	while (bytes) {
		unsigned part = piece(offset, bytes);
		uint64_t value = 0;
		memcpy(&value, at, part);
		write(offset, part, value);
		offset += part, at += part, bytes -= part;
	}
	return true;
}

} // namespace bochs
