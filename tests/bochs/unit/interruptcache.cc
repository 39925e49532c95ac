/* Interrupt entries by their index. */
#include <bochs/unit/interruptcache.h>

namespace bochs
{

void InterruptCache::reset()
{
	entries.clear();
}

InterruptEntry InterruptCache::fetch(uint16_t index)
{
	InterruptEntry entry;

	environment.fetch((environment.tables.interrupts & ~page_mask) + index * 16u, &entry,
			  sizeof(entry));
	return entry;
}

void InterruptCache::keep(uint16_t index, const InterruptEntry &entry)
{
	bool works = (entry.low & 1) && !interrupt_entry_reserved(environment, entry);

	if (works || environment.features.caching_mode)
		entries[index] = entry;
}

InterruptEntry InterruptCache::look_up(uint16_t index)
{
	auto found = entries.find(index);

	if (found != entries.end()) {
		if (!environment.whims.chance(64)) {
			environment.counts.interrupt_hits++;
			return found->second;
		}
		environment.counts.dropped++;
		entries.erase(found);
	}
	InterruptEntry entry = fetch(index);
	keep(index, entry);
	if (environment.whims.chance(8)) {
		uint16_t neighbour = index ^ 1;
		if (neighbour < environment.tables.interrupt_entries && !entries.count(neighbour)) {
			environment.counts.prefetched++;
			keep(neighbour, fetch(neighbour));
		}
	}
	return entry;
}

void InterruptCache::invalidate(bool global, uint16_t index, unsigned mask)
{
	uint32_t count = uint32_t(1) << std::min(mask, 16u);

	if (global || environment.whims.chance(16)) {
		entries.clear();
		return;
	}
	if (index & (count - 1))
		environment.misuse("an interrupt entry's invalidation is not aligned to its mask");
	uint32_t first = index & ~(count - 1);
	entries.erase(entries.lower_bound(uint16_t(first)),
		      entries.upper_bound(uint16_t(first + count - 1)));
}

void InterruptCache::drop_some()
{
	for (auto entry = entries.begin(); entry != entries.end();) {
		bool drop = environment.whims.chance(4);
		environment.counts.dropped += drop;
		entry = drop ? entries.erase(entry) : std::next(entry);
	}
}

} // namespace bochs
