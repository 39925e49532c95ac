/* Puts the unit together, and passes requests of devices through it. */
#include <bochs/unit/vtd.h>

#include <algorithm>
#include <cstring>
#include <bochs/unit/capabilities.h>
#include <bochs/unit/commands.h>
#include <bochs/unit/invalidationregisters.h>
#include <bochs/unit/protectedmemory.h>

namespace bochs
{

namespace
{

/* What exists from power_on() on. */
struct Parts {
	Parts(Machine &machine, const std::string &name, const Features &features,
	      Settings &settings, const Queue::DeviceTlb &device_tlb)
		: core(machine, name, features, settings), faults(core),
		  queue(core, faults, device_tlb), commands(core, queue, faults),
		  protected_memory(core), invalidations(core)
	{
	}

	Core core;
	Faults faults;
	Queue queue;
	Commands commands;
	ProtectedMemory protected_memory;
	InvalidationRegisters invalidations;
};

bool is_message(uint64_t address)
{
	return address >> 20 == 0xfee;
}

} // namespace

struct Vtd::Inside {
	Inside(Vtd &of, Machine &the_machine, Knobs &knobs, const std::string &the_name)
		: vtd(of), machine(the_machine), name(the_name)
	{
		settings.add_to(knobs, name);
		settings.changed = [this] { settings_changed(); };
		add_counts(knobs);
	}

	void add_counts(Knobs &knobs);
	void settings_changed();
	bool usable(SourceId source, const Verdict &verdict, bool write, AddressType type);
	Verdict judge(SourceId source, uint64_t address, bool write, AddressType type);
	bool read(SourceId source, uint64_t address, void *to, unsigned bytes, AddressType type);
	bool write(SourceId source, uint64_t address, const void *from, unsigned bytes,
		   AddressType type);

	Vtd &vtd;
	Machine &machine;
	const std::string name;
	Settings settings;
	std::unique_ptr<Parts> parts;
};

void Vtd::Inside::add_counts(Knobs &knobs)
{
	auto count = [&](const char *word, std::function<uint64_t(const Parts &)> get) {
		knobs.add(name + "." + word, [this, get] {
			return std::to_string(parts ? get(*parts) : UINT64_C(0));
		});
	};

	count("descriptors", [](const Parts &now) { return now.queue.descriptors; });
	count("waits", [](const Parts &now) { return now.queue.waits; });
	count("queued", [](const Parts &now) { return now.queue.queued(); });
	count("faults", [](const Parts &now) { return now.faults.recorded; });
	count("faults.lost", [](const Parts &now) { return now.faults.lost; });
	count("interrupts",
	      [](const Parts &now) { return now.faults.event.sent + now.queue.event.sent; });
	count("misuses",
	      [](const Parts &now) { return now.core.misuses + now.core.translator.misuses; });
	using Counts = Translator::Counts;
	const struct {
		const char *word;
		uint64_t Counts::*place;
	} caches[] = {
		{ "walks", &Counts::walks },
		{ "iotlb_hits", &Counts::iotlb_hits },
		{ "context_hits", &Counts::context_hits },
		{ "interrupt_hits", &Counts::interrupt_hits },
		{ "dropped", &Counts::dropped },
		{ "prefetched", &Counts::prefetched },
		{ "stale", &Counts::stale },
	};
	for (const auto &one : caches) {
		auto place = one.place;
		count(one.word,
		      [place](const Parts &now) { return now.core.translator.counts.*place; });
	}
}

void Vtd::Inside::settings_changed()
{
	if (!parts)
		return;
	if (parts->core.whims.seed != settings.whims)
		parts->core.whims.start(settings.whims);
	parts->commands.resume();
	parts->protected_memory.resume();
	parts->invalidations.resume();
	parts->queue.resume();
}

Vtd::Vtd(Machine &machine, Knobs &knobs, const std::string &name)
	: inside(new Inside(*this, machine, knobs, name))
{
	add_features(knobs, name, features);
}

Vtd::~Vtd() = default;

std::string Vtd::power_on()
{
	std::string wrong = check_features(features);

	if (!wrong.empty())
		return inside->name + "." + wrong;
	inside->parts.reset();
	inside->parts.reset(
		new Parts(inside->machine, inside->name, features, inside->settings, device_tlb));
	Registers &registers = inside->parts->core.registers;
	Registers::Register about;
	about.reset = 0x10;
	registers.define(VER_REG, about);
	about.bytes = 8;
	about.reset = capability(features);
	registers.define(CAP_REG, about);
	about.reset = extended_capability(features);
	registers.define(ECAP_REG, about);
	Parts *parts = inside->parts.get();
	parts->faults.errors_cleared = [parts] { parts->queue.resume(); };
	return "";
}

void Vtd::reset()
{
	Parts *parts = inside->parts.get();

	if (!parts)
		return;
	parts->queue.reset();
	parts->commands.reset();
	parts->protected_memory.reset();
	parts->invalidations.reset();
	parts->faults.restart();
	parts->core.tables = Tables();
	parts->core.translator.reset();
	parts->core.registers.reset();
}

uint64_t Vtd::read_register(unsigned offset, unsigned bytes)
{
	return inside->parts->core.registers.read(offset, bytes);
}

void Vtd::write_register(unsigned offset, unsigned bytes, uint64_t value)
{
	inside->parts->core.registers.write(offset, bytes, value);
}

unsigned Vtd::register_bytes() const
{
	return bochs::register_bytes(features);
}

/* Records the fault of a request that is blocked. */
bool Vtd::Inside::usable(SourceId source, const Verdict &verdict, bool write, AddressType type)
{
	if (!verdict.reason)
		return true;
	parts->faults.record(source, verdict, write, type);
	return false;
}

Verdict Vtd::Inside::judge(SourceId source, uint64_t address, bool write, AddressType type)
{
	Translator &translator = parts->core.translator;

	return type == AddressType::translated ? translator.translated(source, address, write) :
						 translator.request(source, address, write);
}

bool Vtd::Inside::read(SourceId source, uint64_t address, void *to, unsigned bytes,
		       AddressType type)
{
	auto *out = static_cast<uint8_t *>(to);

	while (bytes) {
		Verdict verdict = judge(source, address, false, type);
		/* Nobody answers a read of the processors' interrupt range; it is a fault while
		 * requests are translated (3.14). */
		if (!usable(source, verdict, false, type) || is_message(address)) {
			memset(out, 0xff, bytes);
			return false;
		}
		unsigned part = std::min<uint64_t>(bytes, std::max<uint64_t>(verdict.bytes, 1));
		if (vtd.memory_read)
			vtd.memory_read(verdict.address, out, part);
		else
			machine.read(verdict.address, out, part);
		address += part;
		out += part;
		bytes -= part;
	}
	return true;
}

bool Vtd::Inside::write(SourceId source, uint64_t address, const void *from, unsigned bytes,
			AddressType type)
{
	auto *in = static_cast<const uint8_t *>(from);

	/* Any write to this range is a message; one that has another size, or says that it is
	 * translated, is blocked as a read is. */
	if (is_message(address)) {
		uint32_t data;
		if (bytes != 4 || address % 4 || type != AddressType::untranslated) {
			usable(source, judge(source, address, true, type), true, type);
			return false;
		}
		memcpy(&data, in, 4);
		vtd.message(source, address, data);
		return true;
	}
	while (bytes) {
		Verdict verdict = judge(source, address, true, type);
		if (!usable(source, verdict, true, type))
			return false;
		unsigned part = std::min<uint64_t>(bytes, std::max<uint64_t>(verdict.bytes, 1));
		if (vtd.memory_write)
			vtd.memory_write(verdict.address, in, part);
		else
			machine.write(verdict.address, in, part);
		address += part;
		in += part;
		bytes -= part;
	}
	return true;
}

bool Vtd::read(SourceId source, uint64_t address, void *to, unsigned bytes)
{
	return inside->read(source, address, to, bytes, AddressType::untranslated);
}

bool Vtd::write(SourceId source, uint64_t address, const void *from, unsigned bytes)
{
	return inside->write(source, address, from, bytes, AddressType::untranslated);
}

bool Vtd::read_translated(SourceId source, uint64_t address, void *to, unsigned bytes)
{
	return inside->read(source, address, to, bytes, AddressType::translated);
}

bool Vtd::write_translated(SourceId source, uint64_t address, const void *from, unsigned bytes)
{
	return inside->write(source, address, from, bytes, AddressType::translated);
}

Translation Vtd::translate(SourceId source, uint64_t address, bool write)
{
	constexpr AddressType type = AddressType::translation_request;
	Translation answer;

	Verdict verdict = inside->parts->core.translator.translation_request(source, address,
									     write);
	if (!inside->usable(source, verdict, write, type) || !(verdict.read || verdict.write))
		return answer;
	/* The smallest naturally aligned range that ends where the entry ends lies within it. */
	uint64_t size = 4096;
	while (size < UINT64_C(1) << 30 && (address & (size - 1)) + verdict.bytes != size)
		size <<= 1;
	if ((address & (size - 1)) + verdict.bytes != size)
		size = 4096;
	answer.read = verdict.read;
	answer.write = verdict.write;
	answer.bytes = size;
	answer.address = verdict.address & ~(size - 1);
	/* A message cannot be sent as translated (3.14). */
	answer.untranslated_only = is_message(address);
	return answer;
}

void Vtd::message(SourceId source, uint64_t address, uint32_t data)
{
	Interrupt interrupt = {};
	Verdict verdict;

	if (inside->parts->core.translator.message(source, address, data, interrupt, verdict))
		inside->machine.interrupt(interrupt);
	else
		inside->usable(source, verdict, true, AddressType::untranslated);
}

void Vtd::device_tlb_done(SourceId device, uint16_t tag)
{
	inside->parts->queue.device_tlb_done(device, tag);
}

void Vtd::written_back(uint64_t address, unsigned bytes)
{
	inside->parts->core.translator.written_back(address, bytes);
}

void Vtd::all_written_back()
{
	inside->parts->core.translator.all_written_back();
}

} // namespace bochs
