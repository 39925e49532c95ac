/* A request on its way through the caches and tables, and what may block it. */
#include <bochs/unit/translator.h>

#include <bochs/unit/contextcache.h>
#include <bochs/unit/faultreason.h>
#include <bochs/unit/interruptremap.h>
#include <bochs/unit/iotlb.h>

namespace bochs
{

struct Translator::Inside {
	Environment environment;
	ContextCache contexts;
	Iotlb iotlb;
	InterruptCache interrupts;
	/* PMEN leaves it to the unit whether requests that it remaps are blocked, too. */
	bool protects_remapped = false;

	Inside(Translator &translator, Machine &machine, const Features &features,
	       const Tables &tables, Whims &whims)
		: environment{ machine,		  features,	      tables,	      whims,
			       translator.counts, translator.misuses, Shadow(machine) },
		  contexts(environment), iotlb(environment), interrupts(environment)
	{
	}

	void drop_some();
	bool is_protected(uint64_t address) const;
	Verdict untranslated(uint64_t address, bool write) const;
	bool find_context(SourceId source, uint64_t address, ContextEntry &context,
			  Verdict &verdict);
	Verdict remap(SourceId source, uint64_t address, bool write, bool zero_length);
	Verdict use(const PageTranslation &page, uint64_t address, bool write, bool zero_length);
	Verdict answer_request(SourceId source, uint64_t address);
};

Translator::Translator(Machine &machine, const Features &features, const Tables &tables,
		       Whims &whims)
	: inside(new Inside(*this, machine, features, tables, whims))
{
}

Translator::~Translator() = default;

void Translator::reset()
{
	inside->environment.shadow.reset();
	inside->contexts.reset();
	inside->iotlb.reset();
	inside->interrupts.reset();
	inside->protects_remapped = inside->environment.whims.chance(2);
	counts = {};
	misuses = 0;
}

/* A unit may replace entries at any time. */
void Translator::Inside::drop_some()
{
	contexts.drop_some();
	iotlb.drop_some();
	interrupts.drop_some();
}

bool Translator::Inside::is_protected(uint64_t address) const
{
	const Tables &tables = environment.tables;

	if (!tables.protecting)
		return false;
	for (const auto &range : tables.protected_ranges)
		if (address >= range.first && address <= range.last)
			return true;
	return false;
}

static uint64_t rest_of(uint64_t address, unsigned shift)
{
	uint64_t bytes = uint64_t(1) << shift;

	return bytes - (address & (bytes - 1));
}

/* A request to a protected range is blocked, and that is no remapping fault (VT-d, 11.4.8). */
static void block(Verdict &verdict, bool write)
{
	verdict.reason = write ? reason_write : reason_read;
	verdict.silent = true;
}

Verdict Translator::Inside::untranslated(uint64_t address, bool write) const
{
	Verdict verdict;

	verdict.info = address & ~page_mask;
	verdict.address = address;
	verdict.bytes = rest_of(address, 12);
	verdict.read = verdict.write = true;
	if (is_protected(address))
		block(verdict, write);
	return verdict;
}

/* False: the verdict has the reason. */
bool Translator::Inside::find_context(SourceId source, uint64_t address, ContextEntry &context,
				      Verdict &verdict)
{
	context = contexts.look_up(source);
	verdict.reason = context.reason;
	verdict.silent = context.fault_processing_disabled;
	verdict.info = address & ~page_mask;
	return context.reason == reason_none;
}

static bool beyond_width(const ContextEntry &context, uint64_t address)
{
	return address >> context.width != 0;
}

static uint64_t translated_address(const PageTranslation &page, uint64_t address)
{
	return page.frame + (address & ((uint64_t(1) << page.shift) - 1));
}

Verdict Translator::Inside::use(const PageTranslation &page, uint64_t address, bool write,
				bool zero_length)
{
	Verdict verdict;

	verdict.info = address & ~page_mask;
	verdict.reason = page.reason;
	if (page.reason != reason_none)
		return verdict;
	verdict.read = page.read;
	verdict.write = page.write;
	bool zero_length_write = zero_length && environment.features.zero_length_read && page.write;
	if (write && !page.write) {
		verdict.reason = reason_write;
	} else if (!write && !page.read && !zero_length_write) {
		verdict.reason = reason_read;
	} else {
		verdict.address = translated_address(page, address);
		verdict.bytes = rest_of(address, page.shift);
		if (protects_remapped && is_protected(verdict.address))
			block(verdict, write);
	}
	return verdict;
}

Verdict Translator::Inside::remap(SourceId source, uint64_t address, bool write, bool zero_length)
{
	Verdict verdict;
	ContextEntry context;
	PageTranslation page;

	if (!environment.tables.translating)
		return untranslated(address, write);
	/* Only messages may go there, and they do not come here (3.14). */
	if (in_interrupt_range(address)) {
		verdict.reason = reason_no_message;
		return verdict;
	}
	/* The context entry may have changed since: then the page is stale, but it is there. */
	if (environment.whims.chance(2) && iotlb.find_by_source(source, address, page)) {
		verdict = use(page, address, write, zero_length);
		if (verdict.reason == reason_none)
			return verdict;
	}
	if (!find_context(source, address, context, verdict))
		return verdict;
	bool pass_through = context.type == TranslationType::pass_through;
	/* What passes through is limited by the host's width, not by that of tables (3.9). */
	if (pass_through ? address >> host_address_width != 0 : beyond_width(context, address)) {
		verdict.reason = reason_beyond_width;
		return verdict;
	}
	if (pass_through) {
		verdict = untranslated(address, write);
		verdict.pass_through = true;
		return verdict;
	}
	bool silent = verdict.silent;
	verdict = use(iotlb.look_up(source, context, address), address, write, zero_length);
	verdict.silent |= silent;
	return verdict;
}

Verdict Translator::request(SourceId source, uint64_t address, bool write)
{
	return inside->remap(source, address, write, false);
}

Verdict Translator::zero_length_read(SourceId source, uint64_t address)
{
	return inside->remap(source, address, false, true);
}

/* While nothing is translated, requests of ATS are unsupported, which is no remapping fault. */
static Verdict unsupported()
{
	Verdict verdict;

	verdict.reason = reason_translation_type;
	verdict.silent = true;
	return verdict;
}

Verdict Translator::Inside::answer_request(SourceId source, uint64_t address)
{
	Verdict verdict;
	ContextEntry context;

	if (!environment.tables.translating)
		return unsupported();
	if (!find_context(source, address, context, verdict))
		return verdict;
	if (context.type != TranslationType::device_tlb) {
		verdict.reason = reason_translation_type;
		return verdict;
	}
	verdict.bytes = rest_of(address, 12);
	/* Messages go there, whatever the tables say: a device can only write (VT-d, 3.14). */
	if (in_interrupt_range(address)) {
		verdict.address = address;
		verdict.write = true;
		return verdict;
	}
	/* Beyond the width there are no rights; that is no fault of the device. */
	if (beyond_width(context, address))
		return verdict;
	PageTranslation page = iotlb.look_up(source, context, address);
	verdict.reason = page.reason;
	if (page.reason != reason_none || !page.works())
		return verdict;
	verdict.read = page.read;
	verdict.write = page.write;
	verdict.address = translated_address(page, address);
	verdict.bytes = rest_of(address, page.shift);
	return verdict;
}

/* The answer has both rights whichever is asked for. Without NW (no write) a request asks for
 * both, too. */
Verdict Translator::translation_request(SourceId source, uint64_t address, bool)
{
	return inside->answer_request(source, address);
}

Verdict Translator::translated(SourceId source, uint64_t address, bool write)
{
	Verdict verdict;
	ContextEntry context;

	if (!inside->environment.tables.translating)
		return unsupported();
	if (!inside->find_context(source, address, context, verdict))
		return verdict;
	if (context.type != TranslationType::device_tlb) {
		verdict.reason = reason_translation_type;
		return verdict;
	}
	if (in_interrupt_range(address)) {
		verdict.reason = reason_interrupt_range;
		return verdict;
	}
	return inside->untranslated(address, write);
}

bool Translator::message(SourceId source, uint64_t address, uint32_t data, Interrupt &interrupt,
			 Verdict &verdict)
{
	verdict = {};
	return remap_message(inside->environment, inside->interrupts, { source, address, data },
			     interrupt, verdict);
}

void Translator::invalidate_context(Granularity granularity, uint16_t domain, SourceId source,
				    unsigned function_mask)
{
	inside->contexts.invalidate(granularity, domain, source, function_mask);
	if (inside->environment.whims.chance(16))
		inside->drop_some();
}

void Translator::invalidate_iotlb(Granularity granularity, uint16_t domain, uint64_t address,
				  unsigned mask, bool hint)
{
	inside->iotlb.invalidate(granularity, domain, address, mask, hint);
	if (inside->environment.whims.chance(16))
		inside->drop_some();
}

void Translator::invalidate_interrupts(bool global, uint16_t index, unsigned mask)
{
	inside->interrupts.invalidate(global, index, mask);
}

/* Setting a table's address drops nothing by itself: software must do so after it (VT-d, 6.6). */
void Translator::root_changed()
{
	if (inside->environment.whims.chance(2))
		inside->drop_some();
}

void Translator::interrupt_table_changed()
{
	if (inside->environment.whims.chance(2))
		inside->interrupts.drop_some();
}

void Translator::written_back(uint64_t address, unsigned bytes)
{
	if (!inside->environment.features.coherent)
		inside->environment.shadow.written_back(address, bytes);
}

void Translator::all_written_back()
{
	inside->environment.shadow.all_written_back();
}

void Translator::fetch(uint64_t address, void *to, unsigned bytes)
{
	inside->environment.fetch(address, to, bytes);
}

} // namespace bochs
