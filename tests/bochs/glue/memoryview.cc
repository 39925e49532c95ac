/* See memoryview.h. */
#include <bochs/glue/memoryview.h>

#include <algorithm>
#include <bochs/knobs.h>
#include <sstream>
#include <vector>

namespace bochs
{

static constexpr unsigned page_bytes = 4096;

using Bytes = std::vector<uint8_t>;

static std::string in_hex(const Bytes &bytes)
{
	static const char digits[] = "0123456789abcdef";
	std::string text;

	for (uint8_t byte : bytes) {
		text += digits[byte >> 4];
		text += digits[byte & 15];
	}
	return text;
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool parse_bytes(const std::string &text, Bytes &bytes)
{
	if (text.empty() || text.size() % 2)
		return false;
	for (size_t i = 0; i < text.size(); i += 2) {
		int high = digit(text[i]), low = digit(text[i + 1]);
		if (high < 0 || low < 0)
			return false;
		bytes.push_back(static_cast<uint8_t>(high << 4 | low));
	}
	return true;
}

static std::vector<std::string> words_of(const std::string &text)
{
	std::istringstream stream(text);
	std::vector<std::string> words;
	std::string word;

	while (stream >> word)
		words.push_back(word);
	return words;
}

MemoryView::MemoryView(Machine &its_machine) : machine(its_machine)
{
}

std::string MemoryView::read(const std::string &rest)
{
	std::vector<std::string> words = words_of(rest);
	uint64_t address, bytes;

	if (words.size() != 2 || !parse_number(words[0], address) ||
	    !parse_number(words[1], bytes) || !bytes || bytes > page_bytes)
		return "error: memory ADDRESS BYTES is needed, up to 4096 bytes";
	Bytes found(bytes);
	machine.read(address, found.data(), static_cast<unsigned>(bytes));
	return "ok " + in_hex(found);
}

std::string MemoryView::write(const std::string &rest)
{
	std::vector<std::string> words = words_of(rest);
	uint64_t address;
	Bytes bytes;

	if (words.size() != 2 || !parse_number(words[0], address) || !parse_bytes(words[1], bytes))
		return "error: poke ADDRESS BYTES is needed, the bytes in hexadecimal";
	machine.write(address, bytes.data(), static_cast<unsigned>(bytes.size()));
	return "ok";
}

std::string MemoryView::find(const std::string &rest)
{
	std::vector<std::string> words = words_of(rest);
	uint64_t first, count;
	Bytes wanted, seen;

	if (words.size() != 3 || !parse_bytes(words[0], wanted) || wanted.size() > page_bytes ||
	    !parse_number(words[1], first) || !parse_number(words[2], count))
		return "error: find BYTES FIRST COUNT is needed, the bytes in hexadecimal";
	/* What is seen begins with the last bytes of the page before. */
	for (uint64_t at = first; at - first < count; at += page_bytes) {
		size_t kept = std::min(seen.size(), wanted.size() - 1);
		unsigned more = static_cast<unsigned>(
			std::min<uint64_t>(page_bytes, count - (at - first)));
		seen.erase(seen.begin(), seen.end() - static_cast<std::ptrdiff_t>(kept));
		seen.resize(kept + more);
		machine.read(at, seen.data() + kept, more);
		auto found = std::search(seen.begin(), seen.end(), wanted.begin(), wanted.end());
		if (found != seen.end())
			return "ok " + std::to_string(at - kept + (found - seen.begin()));
	}
	return "ok none";
}

std::string MemoryView::answer(const std::string &word, const std::string &rest)
{
	if (word == "memory")
		return read(rest);
	if (word == "poke")
		return write(rest);
	return word == "find" ? find(rest) : "";
}

} // namespace bochs
