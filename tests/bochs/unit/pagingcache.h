/* The paging-structure caches (VT-d, 6.2.4): which table translates a part of a domain's
 * addresses, with the rights of the entries above it. */
#pragma once

#include <map>
#include <tuple>
#include <bochs/unit/environment.h>

namespace bochs
{

/* The address bits below those that an entry of this level translates: 12, 21, 30, ... */
constexpr unsigned level_shift(unsigned level)
{
	return 12 + 9 * (level - 1);
}

class PagingCache
{
      public:
	/* What an entry of a level above 1 that maps no page says. */
	struct Entry {
		uint64_t table;
		bool read, write;
	};

	explicit PagingCache(Environment &shared) : environment(shared)
	{
	}
	void reset();
	/* The lowest entry that is cached for this address, with its level; levels are 2 up to
	 * `levels`. Null: none. */
	const Entry *look_up(uint16_t domain, uint64_t address, unsigned levels, unsigned &level);
	void keep(uint16_t domain, uint64_t address, unsigned level, const Entry &entry);

	void invalidate_all();
	void invalidate_domain(uint16_t domain);
	/* Entries that translate an address from `first` to `last`. */
	void invalidate_range(uint16_t domain, uint64_t first, uint64_t last);

      private:
	using Key = std::tuple<uint16_t, unsigned, uint64_t>; /* domain id, level, address */
	Environment &environment;
	std::map<Key, Entry> entries;
};

} // namespace bochs
