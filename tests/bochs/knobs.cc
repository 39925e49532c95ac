/* Knobs by their names, and numbers as people write them. */
#include <bochs/knobs.h>

#include <cassert>

namespace bochs
{

bool parse_number(const std::string &text, uint64_t &value)
{
	bool hexadecimal = text.rfind("0x", 0) == 0;
	unsigned base = hexadecimal ? 16 : 10;
	uint64_t sum = 0;

	if (text.size() == (hexadecimal ? 2 : 0))
		return false;
	for (size_t i = hexadecimal ? 2 : 0; i < text.size(); i++) {
		char c = text[i];
		unsigned digit = c >= '0' && c <= '9' ? c - '0' :
				 c >= 'a' && c <= 'f' ? c - 'a' + 10 :
				 c >= 'A' && c <= 'F' ? c - 'A' + 10 :
							99;
		if (digit >= base || sum > (UINT64_MAX - digit) / base)
			return false;
		sum = sum * base + digit;
	}
	value = sum;
	return true;
}

void Knobs::add(const std::string &name, Get get, Set set)
{
	[[maybe_unused]] bool fresh = knobs.emplace(name, Knob{ get, set }).second;
	assert(fresh);
}

void Knobs::add(const std::string &name, Get get)
{
	add(name, get, nullptr);
}

void Knobs::add(const std::string &name, uint64_t *value)
{
	add(
		name, [value] { return std::to_string(*value); },
		[value](const std::string &text) {
			return parse_number(text, *value) ? "" : "a number is needed";
		});
}

void Knobs::add(const std::string &name, bool *value)
{
	add(
		name, [value] { return *value ? "1" : "0"; },
		[value](const std::string &text) {
			if (text != "0" && text != "1")
				return "0 or 1 is needed";
			*value = text == "1";
			return "";
		});
}

std::string Knobs::set(const std::string &name, const std::string &value)
{
	auto found = knobs.find(name);

	if (found == knobs.end())
		return "there is no \"" + name + "\"; `names` lists what there is";
	if (!found->second.set)
		return name + " can only be read";
	std::string wrong = found->second.set(value);
	return wrong.empty() ? "" : name + "=" + value + ": " + wrong;
}

bool Knobs::get(const std::string &name, std::string &value) const
{
	auto found = knobs.find(name);

	value = found == knobs.end() ? "there is no \"" + name + "\"; `names` lists what there is" :
				       found->second.get();
	return found != knobs.end();
}

std::vector<std::string> Knobs::names() const
{
	std::vector<std::string> all;

	for (const auto &knob : knobs)
		all.push_back(knob.first);
	return all;
}

} // namespace bochs
