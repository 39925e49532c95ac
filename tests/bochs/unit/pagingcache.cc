/* Entries above level 1, by domain id, level and address. */
#include <bochs/unit/pagingcache.h>

namespace bochs
{

void PagingCache::reset()
{
	entries.clear();
}

const PagingCache::Entry *PagingCache::look_up(uint16_t domain, uint64_t address, unsigned levels,
					       unsigned &level)
{
	for (level = 2; level <= levels; level++) {
		auto found = entries.find({ domain, level, address >> level_shift(level) });
		if (found == entries.end())
			continue;
		if (!environment.whims.chance(64))
			return &found->second;
		environment.counts.dropped++;
		entries.erase(found);
	}
	return nullptr;
}

void PagingCache::keep(uint16_t domain, uint64_t address, unsigned level, const Entry &entry)
{
	entries[{ domain, level, address >> level_shift(level) }] = entry;
}

void PagingCache::invalidate_all()
{
	entries.clear();
}

void PagingCache::invalidate_domain(uint16_t domain)
{
	entries.erase(entries.lower_bound({ domain, 0, 0 }),
		      entries.upper_bound({ domain, ~0u, ~uint64_t(0) }));
}

void PagingCache::invalidate_range(uint16_t domain, uint64_t first, uint64_t last)
{
	for (unsigned level = 2; level <= 5; level++) {
		unsigned shift = level_shift(level);
		entries.erase(entries.lower_bound({ domain, level, first >> shift }),
			      entries.upper_bound({ domain, level, last >> shift }));
	}
}

} // namespace bochs
