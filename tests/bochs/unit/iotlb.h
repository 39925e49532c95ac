/* The IOTLB (VT-d, 6.2.3): pages of 4 KiB, 2 MiB and 1 GiB, tagged by the domain id. */
#pragma once

#include <bochs/unit/pagewalk.h>

namespace bochs
{

class Iotlb
{
      public:
	explicit Iotlb(Environment &shared) : environment(shared), paging(shared)
	{
	}
	void reset();
	/* `address` is within the width of the context entry, and the entry has tables. */
	PageTranslation look_up(SourceId source, const ContextEntry &context, uint64_t address);
	/* What this source has used before: a unit may look here before it looks at the context
	 * entry, or without that (6.2.7). False: nothing. */
	bool find_by_source(SourceId source, uint64_t address, PageTranslation &translation) const;
	/* As Translator::invalidate_iotlb. */
	void invalidate(Granularity granularity, uint16_t domain, uint64_t address, unsigned mask,
			bool hint);
	/* Drops entries at random. */
	void drop_some();

      private:
	using Key = std::tuple<uint16_t, unsigned, uint64_t>; /* domain id, shift, address */
	Environment &environment;
	PagingCache paging;
	std::map<Key, PageTranslation> entries;
	struct Used {
		uint16_t domain;
		PageTranslation translation;
	};
	/* By source id and page. */
	std::map<std::pair<SourceId, uint64_t>, Used> used;

	void keep_for_source(SourceId source, uint16_t domain, uint64_t address,
			     PageTranslation translation);
	void drop_for_sources(uint16_t domain, uint64_t first, uint64_t last);
	bool find(uint16_t domain, uint64_t address, PageTranslation &translation);
	void keep(uint16_t domain, uint64_t address, PageTranslation translation);
	void prefetch(const ContextEntry &context, uint64_t address, unsigned shift);
	void invalidate_pages(uint16_t domain, uint64_t address, unsigned mask, bool hint);
};

} // namespace bochs
