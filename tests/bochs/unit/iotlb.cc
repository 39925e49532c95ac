/* Pages by domain id, size and address, and what an invalidation of them drops. */
#include <bochs/unit/iotlb.h>

namespace bochs
{

void Iotlb::reset()
{
	entries.clear();
	used.clear();
	paging.reset();
}

/* An entry that is not present is as large as what it would have led to: up to level 5. */
static constexpr unsigned largest_shift = level_shift(5);

bool Iotlb::find(uint16_t domain, uint64_t address, PageTranslation &translation)
{
	for (unsigned shift = 12; shift <= largest_shift; shift += 9) {
		auto found = entries.find({ domain, shift, address >> shift });
		if (found == entries.end())
			continue;
		if (!environment.whims.chance(64)) {
			environment.counts.iotlb_hits++;
			translation = found->second;
			return true;
		}
		environment.counts.dropped++;
		entries.erase(found);
	}
	return false;
}

/* A superpage may be cached in parts: then an invalidation of other parts leaves this one. */
void Iotlb::keep(uint16_t domain, uint64_t address, PageTranslation translation)
{
	if (!translation.works() && !environment.features.caching_mode)
		return;
	if (translation.works() && translation.shift > 12 && environment.whims.chance(3)) {
		unsigned shift = translation.shift == 30 && environment.whims.chance(2) ? 21 : 12;
		translation.frame |= address & bits(translation.shift - 1, shift);
		translation.shift = shift;
	}
	entries[{ domain, translation.shift, address >> translation.shift }] = translation;
}

void Iotlb::prefetch(const ContextEntry &context, uint64_t address, unsigned shift)
{
	uint64_t neighbour = address ^ (uint64_t(1) << shift);
	PageTranslation found;

	/* Within the same table, so within the width as well. */
	found = walk_pages(environment, paging, context, neighbour);
	if (!found.works())
		return;
	environment.counts.prefetched++;
	keep(context.domain, neighbour, found);
}

/* Pages of 4 KiB only, since a unit may cache a superpage in parts. */
bool Iotlb::find_by_source(SourceId source, uint64_t address, PageTranslation &translation) const
{
	auto found = used.find({ source, address & ~page_mask });

	if (found == used.end())
		return false;
	environment.counts.iotlb_hits++;
	translation = found->second.translation;
	return true;
}

void Iotlb::keep_for_source(SourceId source, uint16_t domain, uint64_t address,
			    PageTranslation translation)
{
	constexpr size_t capacity = 256;

	/* It is looked at by whim only. */
	if (!environment.whims.seed || !translation.works())
		return;
	translation.frame |= address & ((uint64_t(1) << translation.shift) - 1) & ~page_mask;
	translation.shift = 12;
	if (used.size() >= capacity)
		used.erase(used.begin());
	used[{ source, address & ~page_mask }] = { domain, translation };
}

void Iotlb::drop_for_sources(uint16_t domain, uint64_t first, uint64_t last)
{
	for (auto entry = used.begin(); entry != used.end();) {
		uint64_t address = entry->first.second;
		bool match = entry->second.domain == domain && address >= first && address <= last;
		entry = match ? used.erase(entry) : std::next(entry);
	}
}

PageTranslation Iotlb::look_up(SourceId source, const ContextEntry &context, uint64_t address)
{
	PageTranslation translation;

	if (find(context.domain, address, translation)) {
		keep_for_source(source, context.domain, address, translation);
		return translation;
	}
	translation = walk_pages(environment, paging, context, address);
	keep_for_source(source, context.domain, address, translation);
	keep(context.domain, address, translation);
	if (translation.works() && environment.whims.chance(8))
		prefetch(context, address, translation.shift);
	return translation;
}

void Iotlb::invalidate_pages(uint16_t domain, uint64_t address, unsigned mask, bool hint)
{
	unsigned shift = std::min(12 + mask, 63u);
	uint64_t bytes = uint64_t(1) << shift;

	if (mask > environment.features.mask)
		environment.misuse("the mask of an invalidation is above CAP.MAMV");
	if (address & (bytes - 1) & ~page_mask)
		environment.misuse("an invalidation's address is not aligned to its mask");
	uint64_t first = address & ~(bytes - 1), last = first + bytes - 1;
	drop_for_sources(domain, first, last);
	for (unsigned s = 12; s <= largest_shift; s += 9) {
		auto entry = entries.lower_bound({ domain, s, first >> s });
		auto end = entries.upper_bound({ domain, s, last >> s });
		/* A superpage needs a mask of at least its size (11.4.6.2, IVA_REG). */
		while (entry != end) {
			bool stays = s > shift && entry->second.works() &&
				     environment.whims.chance(2);
			entry = stays ? std::next(entry) : entries.erase(entry);
		}
	}
	if (!hint || environment.whims.chance(4))
		paging.invalidate_range(domain, first, last);
}

void Iotlb::invalidate(Granularity granularity, uint16_t domain, uint64_t address, unsigned mask,
		       bool hint)
{
	if (granularity != Granularity::global && environment.whims.chance(16))
		granularity = granularity == Granularity::selective ? Granularity::domain :
								      Granularity::global;
	switch (granularity) {
	case Granularity::global:
		entries.clear();
		used.clear();
		paging.invalidate_all();
		break;
	case Granularity::domain:
		entries.erase(entries.lower_bound({ domain, 0, 0 }),
			      entries.upper_bound({ domain, ~0u, ~uint64_t(0) }));
		drop_for_sources(domain, 0, UINT64_MAX);
		paging.invalidate_domain(domain);
		break;
	case Granularity::selective:
		invalidate_pages(domain, address, mask, hint);
		break;
	}
}

void Iotlb::drop_some()
{
	for (auto entry = entries.begin(); entry != entries.end();) {
		bool drop = environment.whims.chance(4);
		environment.counts.dropped += drop;
		entry = drop ? entries.erase(entry) : std::next(entry);
	}
}

} // namespace bochs
