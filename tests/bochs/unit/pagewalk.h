/* The walk of second-level paging entries in legacy mode (VT-d, 3.7 and 9.8). */
#pragma once

#include <bochs/unit/pagingcache.h>
#include <bochs/unit/rootwalk.h>

namespace bochs
{

struct PageTranslation {
	uint8_t reason = 0; /* an entry that cannot be used; a missing right is none */
	bool read = false, write = false; /* of all entries together */
	unsigned shift = 12; /* of the entry where the walk ended: 2^shift bytes */
	uint64_t frame = 0;

	bool works() const
	{
		return reason == 0 && (read || write);
	}
};

/* `address` is within the width of the context entry, and the entry has tables. */
PageTranslation walk_pages(Environment &environment, PagingCache &cache,
			   const ContextEntry &context, uint64_t address);

} // namespace bochs
