/* The device's side of ATS: when it asks, what it keeps, how it answers an invalidation. */
#include <bochs/devices/devicetlb.h>

#include <algorithm>
#include <cstring>

namespace bochs
{

namespace
{

/* 10.5.1.3 */
constexpr uint16_t ats_enable = 1 << 15;
constexpr uint16_t ats_smallest_unit = 0x1f;

/* As many invalidations as the capability promises to take (10.5.1.2, depth 0). */
constexpr size_t queue_depth = 32;
constexpr size_t capacity = 512;

const char *const mode_names[] = { "honest", "slow", "silent", "liar" };

} // namespace

DeviceTlb::DeviceTlb(Machine &in_machine, Knobs &its_knobs, Upstream &its_upstream,
		     const std::string &name, SourceId its_source)
	: machine(in_machine), knobs(its_knobs), upstream(its_upstream), source(its_source),
	  timer(machine.timer((name + ".tlb").c_str(), [this] { answer_due(); }))
{
	add_knobs(name + ".tlb");
}

void DeviceTlb::add_knobs(const std::string &name)
{
	auto count = [this, name](const char *what, const uint64_t &value) {
		knobs.add(name + "." + what, [&value] { return std::to_string(value); });
	};

	knobs.add(
		name, [this] { return std::string(mode_names[static_cast<unsigned>(mode)]); },
		[this](const std::string &text) { return set_mode(text); });
	knobs.add(name + ".delay", &delay);
	knobs.add(name + ".entries", [this] { return std::to_string(entries.size()); });
	knobs.add(name + ".unanswered", [this] { return std::to_string(outstanding.size()); });
	count("hits", hits);
	count("requests", requests);
	count("invalidations", invalidations);
	count("overruns", overruns);
}

std::string DeviceTlb::set_mode(const std::string &text)
{
	for (unsigned i = 0; i < sizeof(mode_names) / sizeof(mode_names[0]); i++)
		if (text == mode_names[i]) {
			mode = static_cast<Mode>(i);
			return "";
		}
	return "honest, slow, silent or liar is needed";
}

void DeviceTlb::control(uint16_t value)
{
	bool enable = value & ats_enable;

	if (enable != enabled)
		entries.clear();
	enabled = enable;
	/* The field is 5 bits wide, so this does not overflow: 4 KiB << 31. */
	unit_bytes = 4096ull << (value & ats_smallest_unit);
}

void DeviceTlb::reset()
{
	control(0);
	entries.clear();
	outstanding.clear();
	timer->cancel();
}

DeviceTlb::Entries::iterator DeviceTlb::find(uint64_t address)
{
	auto found = entries.upper_bound(address);

	if (found == entries.begin())
		return entries.end();
	--found;
	return address - found->first < found->second.translation.bytes ? found : entries.end();
}

void DeviceTlb::drop(uint64_t first, uint64_t last)
{
	for (auto it = entries.begin(); it != entries.end();) {
		uint64_t end = it->first + (it->second.translation.bytes - 1);
		if (it->first <= last && end >= first)
			it = entries.erase(it);
		else
			++it;
	}
}

void DeviceTlb::drop(const DeviceTlbInvalidation &request)
{
	if (request.bytes == ~0ull)
		entries.clear();
	else
		drop(request.address, request.address + (request.bytes - 1));
}

void DeviceTlb::insert(uint64_t start, const Translation &translation)
{
	drop(start, start + (translation.bytes - 1));
	if (entries.size() >= capacity)
		entries.erase(std::min_element(entries.begin(), entries.end(),
					       [](const auto &a, const auto &b) {
						       return a.second.age < b.second.age;
					       }));
	entries[start] = { translation, ages++ };
}

DeviceTlb::Answer DeviceTlb::look_up(uint64_t address, bool write, uint64_t &translated)
{
	auto found = find(address);
	auto allows = [write](const Translation &t) { return write ? t.write : t.read; };

	if (found == entries.end() || !allows(found->second.translation)) {
		/* It asks for the whole smallest unit: software promises that the unit has it. */
		uint64_t asked = address & ~(unit_bytes - 1);
		Translation fresh = upstream.translate(source, asked, write);
		requests++;
		if (!fresh.read && !fresh.write)
			return Answer::none;
		/* U: only untranslated requests may go there (10.2.3.4), so there is no entry. */
		if (fresh.untranslated_only)
			return Answer::untranslated;
		insert(asked & ~(fresh.bytes - 1), fresh);
		found = find(address);
		if (found == entries.end() || !allows(found->second.translation))
			return Answer::none;
	} else {
		hits++;
	}
	translated = found->second.translation.address + (address - found->first);
	return Answer::translated;
}

bool DeviceTlb::read(uint64_t address, void *to, unsigned bytes)
{
	uint64_t translated = 0;

	switch (enabled ? look_up(address, false, translated) : Answer::untranslated) {
	case Answer::translated:
		return upstream.read_translated(source, translated, to, bytes);
	case Answer::untranslated:
		return upstream.read(source, address, to, bytes);
	case Answer::none:
		break;
	}
	memset(to, 0xff, bytes);
	return false;
}

bool DeviceTlb::write(uint64_t address, const void *from, unsigned bytes)
{
	uint64_t translated = 0;

	switch (enabled ? look_up(address, true, translated) : Answer::untranslated) {
	case Answer::translated:
		return upstream.write_translated(source, translated, from, bytes);
	case Answer::untranslated:
		return upstream.write(source, address, from, bytes);
	case Answer::none:
		break;
	}
	return false;
}

void DeviceTlb::invalidate(const DeviceTlbInvalidation &request)
{
	invalidations++;
	if (outstanding.size() >= queue_depth) {
		overruns++;
		machine.log("device TLB: more invalidations than its queue is deep");
	}
	switch (mode) {
	case Mode::honest:
		drop(request);
		break;
	case Mode::slow:
		outstanding.push_back({ request, machine.now() + delay });
		arm();
		return;
	case Mode::silent:
		outstanding.push_back({ request, ~0ull });
		return;
	case Mode::liar:
		break;
	}
	if (done)
		done(request.tag);
}

void DeviceTlb::arm()
{
	uint64_t due = ~0ull, now = machine.now();

	for (const Outstanding &one : outstanding)
		due = std::min(due, one.due);
	if (due != ~0ull)
		timer->set(due > now ? due - now : 0);
}

void DeviceTlb::answer_due()
{
	uint64_t now = machine.now();

	for (size_t i = 0; i < outstanding.size();) {
		DeviceTlbInvalidation request = outstanding[i].request;
		if (outstanding[i].due > now) {
			i++;
			continue;
		}
		outstanding.erase(outstanding.begin() + static_cast<long>(i));
		drop(request);
		if (done)
			done(request.tag);
		/* The answer may have led to new ones. */
		i = 0;
	}
	arm();
}

} // namespace bochs
