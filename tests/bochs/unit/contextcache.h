/* The context cache (VT-d, 6.2.2.1): tagged by the source id, with the domain id of the entry. */
#pragma once

#include <map>
#include <bochs/unit/rootwalk.h>

namespace bochs
{

class ContextCache
{
      public:
	explicit ContextCache(Environment &shared) : environment(shared)
	{
	}
	void reset();
	ContextEntry look_up(SourceId source);
	/* As Translator::invalidate_context. */
	void invalidate(Granularity granularity, uint16_t domain, SourceId source,
			unsigned function_mask);
	/* Drops entries at random. */
	void drop_some();

      private:
	Environment &environment;
	std::map<SourceId, ContextEntry> entries;

	void keep(SourceId source, const ContextEntry &entry);
	void check(SourceId source, const ContextEntry &entry);
};

} // namespace bochs
