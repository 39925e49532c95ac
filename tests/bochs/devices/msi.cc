/* MSI, and MSI-X with its table: what is masked stays pending. */
#include <bochs/devices/msi.h>

#include <cassert>

namespace bochs
{

namespace
{

constexpr uint8_t msi_id = 0x05, msix_id = 0x11;
constexpr unsigned control = 2;

/* MSI, with a 64-bit address. */
constexpr unsigned msi_address = 4, msi_address_high = 8, msi_data = 12;
constexpr unsigned msi_enable = 1 << 0;

constexpr unsigned msix_function_mask = 1 << 14;
constexpr unsigned msix_enable = 1 << 15;

/* An entry of the table of MSI-X (7.7.2.6 to 7.7.2.9). */
constexpr unsigned entry_bytes = 16;
constexpr unsigned entry_address = 0, entry_address_high = 4, entry_data = 8, entry_control = 12;
constexpr uint8_t entry_masked = 1;

void append32(std::vector<uint8_t> &body, uint32_t value)
{
	for (unsigned i = 0; i < 4; i++)
		body.push_back(static_cast<uint8_t>(value >> 8 * i));
}

} // namespace

Msi::Msi(ConfigSpace &config_space)
	: config(config_space)
	  /* Control: Enable and Multiple Message Enable can be written, 64-bit capable is set. */
	  ,
	  at(config.add_capability(msi_id, { 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 },
				   { 0x71, 0, 0xfc, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
				     0xff }))
{
}

bool Msi::enabled() const
{
	return config.read(at + control, 2) & msi_enable;
}

void Msi::raise(const SendMessage &send)
{
	uint64_t high = config.read(at + msi_address_high, 4);

	send(high << 32 | config.read(at + msi_address, 4), config.read(at + msi_data, 2));
}

Msix::Msix(ConfigSpace &config_space, unsigned in_bar, unsigned table_offset,
	   unsigned pending_offset, unsigned number)
	: config(config_space), bar(in_bar), table_at(table_offset), pending_at(pending_offset),
	  entries(number), table(number * entry_bytes), pending((number + 63) / 64 * 8)
{
	std::vector<uint8_t> body;

	assert(entries >= 1 && entries <= 2048 && bar < ConfigSpace::bars);
	assert(table_at % 8 == 0 && pending_at % 8 == 0);
	body.push_back(static_cast<uint8_t>(entries - 1));
	body.push_back(static_cast<uint8_t>((entries - 1) >> 8));
	append32(body, table_at | bar);
	append32(body, pending_at | bar);
	at = config.add_capability(msix_id, body, { 0, 0xc0 });
	reset();
}

bool Msix::enabled() const
{
	return config.read(at + control, 2) & msix_enable;
}

void Msix::reset()
{
	std::fill(table.begin(), table.end(), static_cast<uint8_t>(0));
	std::fill(pending.begin(), pending.end(), static_cast<uint8_t>(0));
	for (unsigned i = 0; i < entries; i++)
		table[i * entry_bytes + entry_control] = entry_masked;
}

uint32_t Msix::field(unsigned vector, unsigned offset) const
{
	uint32_t value = 0;

	for (unsigned i = 4; i-- > 0;)
		value = value << 8 | table[vector * entry_bytes + offset + i];
	return value;
}

bool Msix::masked(unsigned vector) const
{
	return config.read(at + control, 2) & msix_function_mask ||
	       field(vector, entry_control) & entry_masked;
}

bool Msix::send(unsigned vector, const SendMessage &to) const
{
	uint64_t high = field(vector, entry_address_high);

	return to(high << 32 | field(vector, entry_address), field(vector, entry_data));
}

void Msix::raise(unsigned vector, const SendMessage &to)
{
	if (vector >= entries)
		return;
	if (masked(vector))
		pending[vector / 8] |= static_cast<uint8_t>(1 << vector % 8);
	else
		send(vector, to);
}

void Msix::send_pending(const SendMessage &to)
{
	if (!enabled())
		return;
	for (unsigned i = 0; i < entries; i++) {
		uint8_t bit = static_cast<uint8_t>(1 << i % 8);
		if (pending[i / 8] & bit && !masked(i) && send(i, to))
			pending[i / 8] &= static_cast<uint8_t>(~bit);
	}
}

bool Msix::has(unsigned in_bar, unsigned offset) const
{
	return in_bar == bar && ((offset >= table_at && offset - table_at < table.size()) ||
				 (offset >= pending_at && offset - pending_at < pending.size()));
}

uint64_t Msix::read(unsigned offset, unsigned bytes) const
{
	bool is_table = offset >= table_at && offset - table_at < table.size();
	const std::vector<uint8_t> &from = is_table ? table : pending;
	unsigned start = offset - (is_table ? table_at : pending_at);
	uint64_t value = 0;

	for (unsigned i = bytes; i-- > 0;)
		value = value << 8 | (start + i < from.size() ? from[start + i] : 0);
	return value;
}

void Msix::write(unsigned offset, unsigned bytes, uint64_t value)
{
	if (offset < table_at)
		return;
	for (unsigned i = 0; i < bytes; i++) {
		size_t to = offset - table_at + i;
		uint8_t set = static_cast<uint8_t>(value >> 8 * i);
		if (to >= table.size())
			return;
		/* Of the vector control, only the mask is not reserved. */
		if (to % entry_bytes >= entry_control)
			set = to % entry_bytes == entry_control ? set & entry_masked : 0;
		table[to] = set;
	}
}

} // namespace bochs
