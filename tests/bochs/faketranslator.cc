/* The translator of those tests that have none. */
#include <bochs/faketranslator.h>

namespace bochs
{

FakeTranslator fake;

struct Translator::Inside {
	Machine &machine;
	const Tables &tables;
};

namespace
{

std::string kind(Granularity granularity)
{
	return granularity == Granularity::global ? "global" :
	       granularity == Granularity::domain ? "domain" :
						    "selective";
}

Verdict answer(const Tables &tables, uint64_t address)
{
	Verdict verdict = fake.answer;

	fake.tables = tables;
	if (!verdict.bytes) {
		verdict.address = address;
		verdict.bytes = 4096 - address % 4096;
	}
	return verdict;
}

} // namespace

Translator::Translator(Machine &machine, const Features &, const Tables &tables, Whims &)
	: inside(new Inside{ machine, tables })
{
	fake = {};
}

Translator::~Translator() = default;

void Translator::reset()
{
	fake = {};
}

Verdict Translator::request(SourceId, uint64_t address, bool)
{
	return answer(inside->tables, address);
}

Verdict Translator::translation_request(SourceId, uint64_t address, bool)
{
	return answer(inside->tables, address);
}

Verdict Translator::translated(SourceId, uint64_t address, bool)
{
	return answer(inside->tables, address);
}

bool Translator::message(SourceId, uint64_t, uint32_t data, Interrupt &interrupt, Verdict &verdict)
{
	verdict = answer(inside->tables, 0);
	interrupt.vector = data & 0xff;
	return !verdict.reason;
}

void Translator::invalidate_context(Granularity granularity, uint16_t domain, SourceId source,
				    unsigned function_mask)
{
	fake.invalidated.push_back("context " + kind(granularity) + " " + std::to_string(domain) +
				   " " + std::to_string(source) + " " +
				   std::to_string(function_mask));
}

void Translator::invalidate_iotlb(Granularity granularity, uint16_t domain, uint64_t address,
				  unsigned mask, bool hint)
{
	fake.invalidated.push_back("iotlb " + kind(granularity) + " " + std::to_string(domain) +
				   " " + std::to_string(address) + " " + std::to_string(mask) +
				   (hint ? " hint" : ""));
}

void Translator::invalidate_interrupts(bool global, uint16_t index, unsigned mask)
{
	fake.invalidated.push_back(global ? "interrupts" :
					    "interrupts " + std::to_string(index) + " " +
						    std::to_string(mask));
}

void Translator::root_changed()
{
	fake.latched += "root";
}

void Translator::interrupt_table_changed()
{
	fake.latched += "interrupts";
}

void Translator::written_back(uint64_t, unsigned)
{
}

void Translator::all_written_back()
{
}

void Translator::fetch(uint64_t address, void *to, unsigned bytes)
{
	inside->machine.read(address, to, bytes);
}

} // namespace bochs
