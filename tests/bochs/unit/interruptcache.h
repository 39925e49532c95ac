/* The interrupt-entry cache (VT-d, 6.2.6). */
#pragma once

#include <map>
#include <bochs/unit/environment.h>

namespace bochs
{

struct InterruptEntry {
	uint64_t low = 0, high = 0;
};

class InterruptCache
{
      public:
	explicit InterruptCache(Environment &shared) : environment(shared)
	{
	}
	void reset();
	/* The entry from the cache, or from the table. */
	InterruptEntry look_up(uint16_t index);
	/* As Translator::invalidate_interrupts. */
	void invalidate(bool global, uint16_t index, unsigned mask);
	/* Drops entries at random. */
	void drop_some();

      private:
	Environment &environment;
	std::map<uint16_t, InterruptEntry> entries;

	InterruptEntry fetch(uint16_t index);
	void keep(uint16_t index, const InterruptEntry &entry);
};

/* What makes a present entry erroneous (reason 0x24). */
bool interrupt_entry_reserved(const Environment &environment, const InterruptEntry &entry);

} // namespace bochs
