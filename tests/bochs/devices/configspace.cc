/* Configuration space: what a read finds there, and which bits a write changes. */
#include <bochs/devices/configspace.h>

#include <cassert>

namespace bochs
{

namespace
{

constexpr unsigned status = 0x06;
constexpr unsigned status_capabilities = 1 << 4;
constexpr unsigned bar0 = 0x10;
constexpr unsigned capabilities = 0x34;

uint32_t all_ones(unsigned bytes)
{
	return bytes >= 4 ? ~0u : (1u << 8 * bytes) - 1;
}

uint8_t byte(uint32_t value, unsigned index)
{
	return static_cast<uint8_t>(value >> 8 * index);
}

} // namespace

bool ConfigSpace::is_register(unsigned offset, unsigned bytes)
{
	return (bytes == 1 || bytes == 2 || bytes == 4) && offset % bytes == 0 &&
	       offset + bytes <= size;
}

void ConfigSpace::define(unsigned offset, unsigned bytes, uint32_t value, uint32_t mask)
{
	assert(is_register(offset, bytes));
	for (unsigned i = 0; i < bytes; i++) {
		now[offset + i] = initial[offset + i] = byte(value, i);
		writable[offset + i] = byte(mask, i);
	}
}

uint32_t ConfigSpace::read(unsigned offset, unsigned bytes) const
{
	uint32_t value = 0;

	if (!is_register(offset, bytes))
		return all_ones(bytes);
	for (unsigned i = bytes; i-- > 0;)
		value = value << 8 | now[offset + i];
	return value;
}

void ConfigSpace::write(unsigned offset, unsigned bytes, uint32_t value)
{
	if (!is_register(offset, bytes))
		return;
	for (unsigned i = 0; i < bytes; i++) {
		uint8_t mask = writable[offset + i];
		uint8_t kept = now[offset + i] & static_cast<uint8_t>(~mask);
		now[offset + i] = kept | (byte(value, i) & mask);
	}
}

void ConfigSpace::set(unsigned offset, unsigned bytes, uint32_t value)
{
	assert(is_register(offset, bytes));
	for (unsigned i = 0; i < bytes; i++)
		now[offset + i] = byte(value, i);
}

void ConfigSpace::reset()
{
	now = initial;
}

void ConfigSpace::put_body(unsigned at, const std::vector<uint8_t> &body,
			   const std::vector<uint8_t> &mask)
{
	assert(mask.size() <= body.size());
	for (unsigned i = 0; i < body.size(); i++)
		define(at + i, 1, body[i], i < mask.size() ? mask[i] : 0);
}

unsigned ConfigSpace::add_capability(uint8_t id, const std::vector<uint8_t> &body,
				     const std::vector<uint8_t> &mask)
{
	unsigned at = next;

	next = (at + 2 + static_cast<unsigned>(body.size()) + 3) & ~3u;
	assert(next <= 0x100);
	define(at, 1, id, 0);
	put_body(at + 2, body, mask);
	if (last)
		define(last + 1, 1, at, 0);
	else
		define(capabilities, 1, at, 0);
	define(status, 2, initial[status] | status_capabilities, 0);
	last = at;
	return at;
}

unsigned ConfigSpace::add_extended(uint16_t id, uint8_t version, const std::vector<uint8_t> &body,
				   const std::vector<uint8_t> &mask)
{
	unsigned at = next_extended;

	next_extended = (at + 4 + static_cast<unsigned>(body.size()) + 3) & ~3u;
	assert(next_extended <= size);
	define(at, 4, id | static_cast<uint32_t>(version) << 16, 0);
	put_body(at + 4, body, mask);
	if (last_extended)
		define(last_extended, 4, (read(last_extended, 4) & 0xfffff) | at << 20, 0);
	last_extended = at;
	return at;
}

void ConfigSpace::add_bar(unsigned index, unsigned bytes)
{
	assert(index < bars && bytes >= 16 && (bytes & (bytes - 1)) == 0);
	bar_sizes[index] = bytes;
	/* Software finds the size by the bits that stay 0. */
	define(bar0 + 4 * index, 4, 0, ~(bytes - 1));
}

unsigned ConfigSpace::bar_bytes(unsigned index) const
{
	return index < bars ? bar_sizes[index] : 0;
}

uint32_t ConfigSpace::bar_address(unsigned index) const
{
	return bar_bytes(index) ? read(bar0 + 4 * index, 4) & ~0xfu : 0;
}

} // namespace bochs
