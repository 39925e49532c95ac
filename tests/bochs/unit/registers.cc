/* Reads and writes of 4 and 8 bytes by the masks of each register. */
#include <bochs/unit/registers.h>

#include <cassert>

namespace bochs
{

void Registers::define(unsigned offset, const Register &about)
{
	assert(about.bytes == 4 || about.bytes == 8);
	assert(offset % about.bytes == 0);
	[[maybe_unused]] bool fresh = entries.emplace(offset, Entry{ about, about.reset }).second;
	assert(fresh);
}

uint64_t Registers::read(unsigned offset, unsigned bytes) const
{
	auto found = entries.find(offset);

	if (bytes == 8) {
		if (found != entries.end() && found->second.about.bytes == 8)
			return found->second.value;
		return read(offset, 4) | read(offset + 4, 4) << 32;
	}
	if (found != entries.end())
		return found->second.value & 0xffffffff;
	found = entries.find(offset - 4);
	if (offset >= 4 && found != entries.end() && found->second.about.bytes == 8)
		return found->second.value >> 32;
	return 0;
}

void Registers::write_bits(Entry &entry, uint64_t value, uint64_t lanes)
{
	uint64_t before = entry.value;
	uint64_t writable = entry.about.writable & lanes;

	entry.value = (before & ~writable) | (value & writable);
	entry.value &= ~(value & entry.about.cleared & lanes);
	if (entry.about.written)
		entry.about.written(before);
}

void Registers::write(unsigned offset, unsigned bytes, uint64_t value)
{
	auto found = entries.find(offset);

	if (bytes == 8) {
		if (found != entries.end() && found->second.about.bytes == 8) {
			write_bits(found->second, value, UINT64_MAX);
			return;
		}
		write(offset, 4, value & 0xffffffff);
		write(offset + 4, 4, value >> 32);
		return;
	}
	if (found != entries.end()) {
		write_bits(found->second, value & 0xffffffff, 0xffffffff);
		return;
	}
	found = entries.find(offset - 4);
	if (offset >= 4 && found != entries.end() && found->second.about.bytes == 8)
		write_bits(found->second, value << 32, 0xffffffff00000000);
}

uint64_t Registers::get(unsigned offset) const
{
	auto found = entries.find(offset);

	assert(found != entries.end());
	return found->second.value;
}

void Registers::set(unsigned offset, uint64_t value)
{
	auto found = entries.find(offset);

	assert(found != entries.end());
	found->second.value = value;
}

void Registers::reset()
{
	for (auto &entry : entries) {
		const Register &about = entry.second.about;
		uint64_t kept = entry.second.value & about.sticky;
		entry.second.value = kept | (about.reset & ~about.sticky);
	}
}

} // namespace bochs
