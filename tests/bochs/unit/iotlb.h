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
	PageTranslation look_up(const ContextEntry &context, uint64_t address);
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

	bool find(uint16_t domain, uint64_t address, PageTranslation &translation);
	void keep(uint16_t domain, uint64_t address, PageTranslation translation);
	void prefetch(const ContextEntry &context, uint64_t address, unsigned shift);
	void invalidate_pages(uint16_t domain, uint64_t address, unsigned mask, bool hint);
};

} // namespace bochs
