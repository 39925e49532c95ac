/* The register file of a unit (VT-d, section 11.4): which register is where, which of its bits
 * software may change, and who is told. Each part of the unit defines its own registers. */
#pragma once

#include <cstdint>
#include <functional>
#include <map>

namespace bochs
{

/* Offsets (11.4). Those that CAP.FRO and ECAP.IRO name are in capabilities.h. */
enum RegisterOffset : unsigned {
	VER_REG = 0x00,
	CAP_REG = 0x08,
	ECAP_REG = 0x10,
	GCMD_REG = 0x18,
	GSTS_REG = 0x1c,
	RTADDR_REG = 0x20,
	CCMD_REG = 0x28,
	FSTS_REG = 0x34,
	FECTL_REG = 0x38,
	PMEN_REG = 0x64,
	PLMBASE_REG = 0x68,
	PLMLIMIT_REG = 0x6c,
	PHMBASE_REG = 0x70,
	PHMLIMIT_REG = 0x78,
	IQH_REG = 0x80,
	IQT_REG = 0x88,
	IQA_REG = 0x90,
	ICS_REG = 0x9c,
	IECTL_REG = 0xa0,
	IQERCD_REG = 0xb0,
	IRTA_REG = 0xb8,
};

class Registers
{
      public:
	/* Called after software has written; the value before is `before`. */
	using Written = std::function<void(uint64_t before)>;

	struct Register {
		unsigned bytes = 4; /* 4 or 8 */
		uint64_t reset = 0;
		uint64_t writable = 0;
		uint64_t cleared = 0; /* by writing 1 (RW1C) */
		uint64_t sticky = 0; /* bits that a reset leaves as they are */
		Written written = nullptr;
	};
	void define(unsigned offset, const Register &about);

	/* As software does: 4 or 8 bytes, aligned. What is not defined reads as 0. */
	uint64_t read(unsigned offset, unsigned bytes) const;
	void write(unsigned offset, unsigned bytes, uint64_t value);

	/* As the unit does. */
	uint64_t get(unsigned offset) const;
	void set(unsigned offset, uint64_t value);

	void reset();

      private:
	struct Entry {
		Register about;
		uint64_t value;
	};
	void write_bits(Entry &entry, uint64_t value, uint64_t lanes);
	std::map<unsigned, Entry> entries;
};

} // namespace bochs
