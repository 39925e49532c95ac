/* The physical addresses that our registers, BARs and the ECAM answer to. Bochs tells handlers of
 * memory apart by blocks of 64 KiB only; here each range has its own. */
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>

namespace bochs
{

class AddressMap
{
      public:
	/* 1, 2, 4 or 8 bytes, aligned. */
	using Read = std::function<uint64_t(uint64_t offset, unsigned bytes)>;
	using Write = std::function<void(uint64_t offset, unsigned bytes, uint64_t value)>;

	AddressMap();
	~AddressMap();
	/* Empty: it is there. Else why it cannot be. */
	std::string add(uint64_t first, uint64_t bytes, Read read, Write write);
	/* The range that begins there. */
	void remove(uint64_t first);

	/* For Bochs. False: no range has all of it. */
	bool read(uint64_t address, unsigned bytes, void *to);
	bool write(uint64_t address, unsigned bytes, const void *from);

      private:
	struct Range {
		uint64_t bytes;
		Read read;
		Write write;
	};
	struct Block;
	std::map<uint64_t, Range> ranges; /* by the first address */
	std::map<uint64_t, Block> blocks; /* that Bochs knows, by the first address */

	const Range *find(uint64_t address, unsigned bytes, uint64_t &offset) const;
	bool overlaps(uint64_t first, uint64_t bytes) const;
	bool use_block(uint64_t first, uint64_t bytes);
	void leave_block(uint64_t first);
};

} // namespace bochs
