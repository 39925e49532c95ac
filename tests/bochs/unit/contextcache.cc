/* Context entries stay until an invalidation matches the domain id that they were cached with. */
#include <bochs/unit/contextcache.h>

#include <cstdio>

namespace bochs
{

void ContextCache::reset()
{
	entries.clear();
}

ContextEntry ContextCache::look_up(SourceId source)
{
	auto found = entries.find(source);

	if (found != entries.end()) {
		if (!environment.whims.chance(64)) {
			environment.counts.context_hits++;
			return found->second;
		}
		environment.counts.dropped++;
		entries.erase(found);
	}
	ContextEntry entry = walk_root(environment, source);
	keep(source, entry);
	if (environment.whims.chance(16)) {
		SourceId neighbour = source ^ 1;
		if (!entries.count(neighbour)) {
			environment.counts.prefetched++;
			keep(neighbour, walk_root(environment, neighbour));
		}
	}
	return entry;
}

/* An entry that is not present or erroneous is kept under caching mode only, and then with
 * domain id 0 (VT-d, 6.1), which it has from walk_root(). */
void ContextCache::keep(SourceId source, const ContextEntry &entry)
{
	if (entry.reason != 0 && !environment.features.caching_mode)
		return;
	if (entry.reason == 0)
		check(source, entry);
	entries[source] = entry;
}

static std::string hexadecimal(uint64_t value)
{
	char text[20];

	snprintf(text, sizeof(text), "0x%llx", static_cast<unsigned long long>(value));
	return text;
}

void ContextCache::check(SourceId source, const ContextEntry &entry)
{
	bool walked = entry.type != TranslationType::pass_through;

	if (entry.domain == 0 && environment.features.caching_mode)
		environment.misuse("source " + hexadecimal(source) +
				   " has domain id 0, which caching mode reserves");
	/* "When TT is 10b, this field must be programmed to indicate the largest AGAW." */
	if (!walked && entry.levels != environment.features.levels)
		environment.misuse("source " + hexadecimal(source) +
				   " passes through with less than the largest width");
	if (!walked)
		return;
	for (const auto &other : entries) {
		const ContextEntry &cached = other.second;
		/* Its own old entry is stale, which is no misuse before it is used. */
		if (other.first == source || cached.reason != 0 || cached.domain != entry.domain ||
		    cached.type == TranslationType::pass_through)
			continue;
		if (cached.table != entry.table || cached.levels != entry.levels) {
			environment.misuse("domain id " + hexadecimal(entry.domain) +
					   " has different tables for the sources " +
					   hexadecimal(source) + " and " +
					   hexadecimal(other.first));
			return;
		}
	}
}

void ContextCache::invalidate(Granularity granularity, uint16_t domain, SourceId source,
			      unsigned function_mask)
{
	/* FM: 0: no bit of the function number is masked; 1: bit 2; 2: 2:1; 3: 2:0. */
	static const SourceId masked[] = { 0, 4, 6, 7 };
	SourceId compared = SourceId(~masked[function_mask & 3]);

	if (granularity != Granularity::global && environment.whims.chance(16))
		granularity = granularity == Granularity::selective ? Granularity::domain :
								      Granularity::global;
	for (auto entry = entries.begin(); entry != entries.end();) {
		bool same_source = ((entry->first ^ source) & compared) == 0;
		bool match = granularity == Granularity::global ||
			     (entry->second.domain == domain &&
			      (granularity == Granularity::domain || same_source));
		entry = match ? entries.erase(entry) : std::next(entry);
	}
}

void ContextCache::drop_some()
{
	for (auto entry = entries.begin(); entry != entries.end();) {
		bool drop = environment.whims.chance(4);
		environment.counts.dropped += drop;
		entry = drop ? entries.erase(entry) : std::next(entry);
	}
}

} // namespace bochs
