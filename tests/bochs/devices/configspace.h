/* The 4 KiB configuration space of a function: registers with a mask of the bits that software can
 * write, the two lists of capabilities, BARs (PCI Express Base 5.0, chapter 7). */
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace bochs
{

class ConfigSpace
{
      public:
	static constexpr unsigned size = 4096;
	static constexpr unsigned bars = 6;

	/* 1, 2 or 4 bytes, aligned. */
	static bool is_register(unsigned offset, unsigned bytes);
	/* A register: what it is after a reset, and which of its bits can be written. */
	void define(unsigned offset, unsigned bytes, uint32_t initial, uint32_t writable);
	/* What is no register reads as all ones and is not written. */
	uint32_t read(unsigned offset, unsigned bytes) const;
	void write(unsigned offset, unsigned bytes, uint32_t value);
	/* What hardware sets. */
	void set(unsigned offset, unsigned bytes, uint32_t value);
	void reset();

	/* `body` follows id and next pointer; `writable` is its mask, missing bytes are 0. The
	 * offset of the capability (7.5.1.1.11). */
	unsigned add_capability(uint8_t id, const std::vector<uint8_t> &body,
				const std::vector<uint8_t> &writable = {});
	/* The same for the extended list; `body` follows the header of 4 bytes (7.6.3). */
	unsigned add_extended(uint16_t id, uint8_t version, const std::vector<uint8_t> &body,
			      const std::vector<uint8_t> &writable = {});

	/* A 32-bit memory BAR of a power of two, at least 16 bytes (7.5.1.2.1). */
	void add_bar(unsigned index, unsigned bytes);
	unsigned bar_bytes(unsigned index) const;
	uint32_t bar_address(unsigned index) const;

      private:
	void put_body(unsigned at, const std::vector<uint8_t> &body,
		      const std::vector<uint8_t> &writable);

	std::array<uint8_t, size> now = {}, initial = {}, writable = {};
	std::array<unsigned, bars> bar_sizes = {};
	/* Where the next capability goes, and the last one of each list: 0, there is none. */
	unsigned next = 0x40, last = 0, next_extended = 0x100, last_extended = 0;
};

} // namespace bochs
