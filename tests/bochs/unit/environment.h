/* What the parts of a translator share. */
#pragma once

#include <algorithm>
#include <bochs/unit/shadow.h>
#include <bochs/unit/translator.h>

namespace bochs
{

struct Environment {
	Machine &machine;
	const Features &features;
	const Tables &tables;
	Whims &whims;
	Translator::Counts &counts;
	uint64_t &misuses;
	Shadow shadow;

	/* A structure of the tables, as the unit sees it. */
	void fetch(uint64_t address, void *to, unsigned bytes)
	{
		if (features.coherent)
			machine.read(address, to, bytes);
		else
			shadow.read(address, to, bytes, counts.stale);
	}
	uint64_t fetch64(uint64_t address)
	{
		uint64_t value = 0;
		fetch(address, &value, sizeof(value));
		return value;
	}
	void misuse(const std::string &line)
	{
		misuses++;
		machine.log("misuse: " + line);
	}

	/* CAP.MGAW + 1 */
	unsigned width() const
	{
		unsigned reach = 12 + 9 * unsigned(features.levels);
		return features.width ? unsigned(features.width) : std::min(reach, 57u);
	}
	/* CAP.SAGAW */
	bool levels_offered(unsigned levels) const
	{
		return levels >= 3 && levels <= features.levels &&
		       (!features.only_these_levels || levels == features.levels);
	}
};

/* Bits 63:HAW of a structure's address and bits 51:HAW of a page's are reserved; what a unit
 * with this many address bits has. */
constexpr unsigned host_address_width = 46;

constexpr uint64_t bits(unsigned high, unsigned low)
{
	return (high == 63 ? ~uint64_t(0) : (uint64_t(1) << (high + 1)) - 1) &
	       ~((uint64_t(1) << low) - 1);
}

constexpr uint64_t field(uint64_t value, unsigned high, unsigned low)
{
	return (value & bits(high, low)) >> low;
}

constexpr uint64_t page_mask = 0xfff;

inline bool in_interrupt_range(uint64_t address)
{
	return address >> 20 == 0xfee;
}

} // namespace bochs
