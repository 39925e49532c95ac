/* Memory as a unit sees it that does not snoop the processors' caches (ECAP.C = 0): each cache
 * line is what it was when it was last written back. A line that never was reads as zero. */
#pragma once

#include <array>
#include <unordered_map>
#include <bochs/machine.h>

namespace bochs
{

class Shadow
{
      public:
	explicit Shadow(Machine &memory) : machine(memory)
	{
	}
	void reset();
	/* Counts in `stale` each line that differs from what memory has now. */
	void read(uint64_t address, void *to, unsigned bytes, uint64_t &stale);
	void written_back(uint64_t address, unsigned bytes);
	void all_written_back();

      private:
	static constexpr unsigned line_bytes = 64;
	using Line = std::array<uint8_t, line_bytes>;
	Machine &machine;
	std::unordered_map<uint64_t, Line> lines; /* by address */

	Line memory_line(uint64_t address);
};

} // namespace bochs
