/* Paging entries from the lowest table that is cached down to the page. */
#include <bochs/unit/pagewalk.h>

#include <bochs/unit/faultreason.h>

namespace bochs
{

static constexpr uint64_t entry_read = 1, entry_write = 2, entry_page_size = 1 << 7,
			  entry_snoop = 1 << 11, entry_transient = uint64_t(1) << 62;

static bool maps_page(const Features &features, unsigned level, uint64_t entry)
{
	return level == 1 || ((entry & entry_page_size) && level <= 3 && features.superpages);
}

static bool reserved(const Features &features, unsigned level, uint64_t entry)
{
	uint64_t mask = bits(51, host_address_width);

	if (maps_page(features, level, entry)) {
		if (!features.snoop_control)
			mask |= entry_snoop;
		if (!features.device_tlb)
			mask |= entry_transient;
		if (level > 1)
			mask |= bits(level_shift(level) - 1, 12);
	} else {
		mask |= entry_page_size | entry_snoop | entry_transient;
	}
	return entry & mask;
}

/* A leaf that leads to interrupt addresses would be a way around interrupt remapping. */
static void check_output(Environment &environment, PageTranslation &translation)
{
	uint64_t first = translation.frame;
	uint64_t last = first + (uint64_t(1) << translation.shift) - 1;

	if (translation.shift == 12 && in_interrupt_range(first)) {
		environment.misuse("a paging entry leads to interrupt addresses");
		translation.reason = reason_interrupt_range;
	} else if (first >> 20 <= 0xfee && last >> 20 >= 0xfee) {
		environment.misuse("a large page contains interrupt addresses");
	}
}

PageTranslation walk_pages(Environment &environment, PagingCache &cache,
			   const ContextEntry &context, uint64_t address)
{
	PageTranslation translation;
	unsigned cached_level = 0;
	const PagingCache::Entry *cached = cache.look_up(context.domain, address, context.levels,
							 cached_level);
	unsigned level = cached ? cached_level - 1 : context.levels;
	uint64_t table = cached ? cached->table : context.table;
	bool read = cached ? cached->read : true, write = cached ? cached->write : true;

	environment.counts.walks++;
	for (;; level--) {
		unsigned shift = level_shift(level);
		uint64_t entry = environment.fetch64(table + field(address, shift + 8, shift) * 8);

		translation.shift = shift;
		if (!(entry & (entry_read | entry_write)))
			return translation;
		if (reserved(environment.features, level, entry)) {
			translation.reason = reason_paging_reserved;
			return translation;
		}
		read = read && (entry & entry_read);
		write = write && (entry & entry_write);
		table = entry & bits(host_address_width - 1, 12);
		if (maps_page(environment.features, level, entry))
			break;
		cache.keep(context.domain, address, level, { table, read, write });
	}
	translation.read = read;
	translation.write = write;
	translation.frame = table;
	check_output(environment, translation);
	return translation;
}

} // namespace bochs
