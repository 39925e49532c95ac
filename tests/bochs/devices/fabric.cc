/* Routes of requests and messages, and of invalidations with their answers. */
#include <bochs/devices/fabric.h>

#include <algorithm>
#include <cassert>
#include <cstring>

namespace bochs
{

namespace
{

constexpr unsigned bars = 6;
constexpr uint64_t interrupt_range = 0xfee00000;

bool is_message(uint64_t address, unsigned bytes)
{
	return bytes == 4 && address % 4 == 0 && address >> 20 == interrupt_range >> 20;
}

/* A place in a function's BAR. */
struct Place {
	Function *function = nullptr; /* none: memory */
	unsigned bar = 0, offset = 0;
};

/* The largest access that is aligned and fits. */
unsigned access_bytes(unsigned offset, unsigned left)
{
	unsigned bytes = 8;

	while (bytes > left || offset % bytes)
		bytes /= 2;
	return bytes;
}

void read_bar(const Place &place, void *to, unsigned bytes)
{
	uint8_t *out = static_cast<uint8_t *>(to);

	for (unsigned done = 0, part; done < bytes; done += part) {
		part = access_bytes(place.offset + done, bytes - done);
		uint64_t value = place.function->mmio_read(place.bar, place.offset + done, part);
		memcpy(out + done, &value, part);
	}
}

void write_bar(const Place &place, const void *from, unsigned bytes)
{
	const uint8_t *data = static_cast<const uint8_t *>(from);

	for (unsigned done = 0, part; done < bytes; done += part) {
		uint64_t value = 0;
		part = access_bytes(place.offset + done, bytes - done);
		memcpy(&value, data + done, part);
		place.function->mmio_write(place.bar, place.offset + done, part, value);
	}
}

} // namespace

struct Fabric::Inside {
	Machine &machine;
	std::vector<Vtd *> units;
	std::vector<Function *> functions;
	std::map<SourceId, unsigned> unit_indexes;
	uint64_t shortcuts = 0;

	explicit Inside(Machine &around) : machine(around), units(), functions(), unit_indexes()
	{
	}

	Function *find(SourceId source) const
	{
		for (Function *function : functions)
			if (function->source() == source)
				return function;
		return nullptr;
	}
	unsigned unit_index(SourceId source) const
	{
		auto found = unit_indexes.find(source);
		return found == unit_indexes.end() ? 0 : found->second;
	}
	Vtd &unit(SourceId source) const
	{
		assert(unit_index(source) < units.size());
		return *units[unit_index(source)];
	}
	static Place place_in(Function &function, uint64_t address)
	{
		for (unsigned i = 0; i < bars; i++) {
			Function::Bar bar = function.bar(i);
			if (bar.decoded && address >= bar.address &&
			    address - bar.address < bar.bytes)
				return { &function, i,
					 static_cast<unsigned>(address - bar.address) };
		}
		return {};
	}
	/* Behind the units. A request lies in one page, so where it begins decides. */
	Place place(uint64_t address) const
	{
		for (Function *function : functions) {
			Place found = place_in(*function, address);
			if (found.function)
				return found;
		}
		return {};
	}
	/* Where the functions of one device meet before a unit sees the request. */
	Place shortcut(SourceId source, uint64_t address, bool translated)
	{
		Function *from = find(source);

		if (!from || (translated ? from->redirects_translated_requests() :
					   from->redirects_requests()))
			return {};
		for (Function *peer : functions) {
			if (peer == from || peer->source() >> 3 != source >> 3)
				continue;
			Place found = place_in(*peer, address);
			if (found.function) {
				shortcuts++;
				return found;
			}
		}
		return {};
	}
};

Fabric::Fabric(Machine &machine, Knobs &knobs) : inside(std::make_unique<Inside>(machine))
{
	Inside *in = inside.get();

	knobs.add("fabric.shortcuts", [in] { return std::to_string(in->shortcuts); });
}

Fabric::~Fabric() = default;

void Fabric::add_unit(Vtd &unit)
{
	Inside *in = inside.get();
	unsigned index = static_cast<unsigned>(in->units.size());

	in->units.push_back(&unit);
	unit.memory_read = [in](uint64_t address, void *to, unsigned bytes) {
		Place place = in->place(address);
		if (place.function)
			read_bar(place, to, bytes);
		else
			in->machine.read(address, to, bytes);
	};
	unit.memory_write = [in](uint64_t address, const void *from, unsigned bytes) {
		Place place = in->place(address);
		if (place.function)
			write_bar(place, from, bytes);
		else
			in->machine.write(address, from, bytes);
	};
	/* A device below another unit cannot be reached from this one. */
	unit.device_tlb = [in, index](const DeviceTlbInvalidation &request) {
		Function *function = in->find(request.target);
		if (!function || !function->has_device_tlb() ||
		    in->unit_index(request.target) != index)
			return false;
		function->invalidate(request);
		return true;
	};
}

void Fabric::add_function(Function &function)
{
	Inside *in = inside.get();

	assert(!in->find(function.source()));
	in->functions.push_back(&function);
	function.invalidated = [in](SourceId device, uint16_t tag) {
		in->unit(device).device_tlb_done(device, tag);
	};
}

void Fabric::set_unit(SourceId source, unsigned index)
{
	inside->unit_indexes[source] = index;
}

Function *Fabric::function(SourceId source) const
{
	return inside->find(source);
}

bool Fabric::read(SourceId source, uint64_t address, void *to, unsigned bytes)
{
	Place peer = inside->shortcut(source, address, false);

	if (!peer.function)
		return inside->unit(source).read(source, address, to, bytes);
	read_bar(peer, to, bytes);
	return true;
}

bool Fabric::write(SourceId source, uint64_t address, const void *from, unsigned bytes)
{
	Place peer = inside->shortcut(source, address, false);

	if (peer.function) {
		write_bar(peer, from, bytes);
		return true;
	}
	/* Whoever writes it: a message is such a write and nothing else (VT-d, 5.1). */
	if (is_message(address, bytes)) {
		uint32_t data;
		memcpy(&data, from, sizeof(data));
		inside->unit(source).message(source, address, data);
		return true;
	}
	return inside->unit(source).write(source, address, from, bytes);
}

bool Fabric::read_translated(SourceId source, uint64_t address, void *to, unsigned bytes)
{
	Place peer = inside->shortcut(source, address, true);

	if (!peer.function)
		return inside->unit(source).read_translated(source, address, to, bytes);
	read_bar(peer, to, bytes);
	return true;
}

bool Fabric::write_translated(SourceId source, uint64_t address, const void *from, unsigned bytes)
{
	Place peer = inside->shortcut(source, address, true);

	if (!peer.function)
		return inside->unit(source).write_translated(source, address, from, bytes);
	write_bar(peer, from, bytes);
	return true;
}

Translation Fabric::translate(SourceId source, uint64_t address, bool write)
{
	return inside->unit(source).translate(source, address, write);
}

void Fabric::message(SourceId source, uint64_t address, uint32_t data)
{
	inside->unit(source).message(source, address, data);
}

} // namespace bochs
