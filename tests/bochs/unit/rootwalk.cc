/* Root and context entries: what is reserved in them, and what the unit cannot do. */
#include <bochs/unit/rootwalk.h>

#include <bochs/unit/faultreason.h>

namespace bochs
{

static constexpr uint64_t entry_present = 1;

struct Wide {
	uint64_t low, high;
};

static Wide fetch_wide(Environment &environment, uint64_t address)
{
	Wide entry = {};

	environment.fetch(address, &entry, sizeof(entry));
	return entry;
}

static bool context_reserved(const Environment &environment, const Wide &entry)
{
	unsigned domain_bits = std::min(16u, 4 + 2 * unsigned(environment.features.domains));
	uint64_t high = bits(7, 7) | bits(63, 24);

	/* "Unused bits of this field are treated as reserved by hardware." */
	if (domain_bits < 16)
		high |= bits(23, 8 + domain_bits);
	return (entry.low & (bits(11, 4) | bits(63, host_address_width))) || (entry.high & high);
}

static bool type_offered(const Features &features, uint64_t type)
{
	switch (type) {
	case uint64_t(TranslationType::untranslated_only):
		return true;
	case uint64_t(TranslationType::device_tlb):
		return features.device_tlb;
	case uint64_t(TranslationType::pass_through):
		return features.pass_through;
	default:
		return false;
	}
}

static ContextEntry parse(Environment &environment, const Wide &entry)
{
	ContextEntry context;
	uint64_t type = field(entry.low, 3, 2);
	unsigned levels = unsigned(field(entry.high, 2, 0)) + 2;

	context.fault_processing_disabled = entry.low & 2;
	if (!(entry.low & entry_present)) {
		context.reason = reason_context_not_present;
		return context;
	}
	if (context_reserved(environment, entry)) {
		context.reason = reason_context_reserved;
		return context;
	}
	if (!type_offered(environment.features, type) || !environment.levels_offered(levels)) {
		context.reason = reason_context_invalid;
		return context;
	}
	context.type = TranslationType(type);
	context.domain = uint16_t(field(entry.high, 23, 8));
	context.levels = levels;
	context.table = entry.low & bits(host_address_width - 1, 12);
	context.width = std::min(12 + 9 * levels, environment.width());
	return context;
}

ContextEntry walk_root(Environment &environment, SourceId source)
{
	ContextEntry context;
	Wide root = fetch_wide(environment,
			       (environment.tables.root & ~page_mask) + (source >> 8) * 16u);

	if (!(root.low & entry_present)) {
		context.reason = reason_root_not_present;
		return context;
	}
	if ((root.low & (bits(11, 1) | bits(63, host_address_width))) || root.high) {
		context.reason = reason_root_reserved;
		return context;
	}
	return parse(environment,
		     fetch_wide(environment, (root.low & ~page_mask) + (source & 0xff) * 16u));
}

} // namespace bochs
