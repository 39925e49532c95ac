/* See ecam.h. */
#include <bochs/glue/ecam.h>

#include <bochs/glue/bochsheaders.h>

namespace bochs
{

static constexpr Bit16u address_port = 0xcf8, data_port = 0xcfc;

std::string Ecam::attach(AddressMap &map)
{
	std::string wrong = map.add(
		base, bytes, [this](uint64_t offset, unsigned n) { return read(offset, n); },
		[this](uint64_t offset, unsigned n, uint64_t value) { write(offset, n, value); });

	return wrong.empty() ? "" : "ECAM: " + wrong;
}

void Ecam::add(SourceId source, PciFunction &function)
{
	functions[source] = &function;
}

/* Selects a register of Bochs' own devices by the ports, and puts the old selection back. */
class Selected
{
      public:
	Selected(SourceId source, unsigned offset) : before(DEV_pci_get_confAddr())
	{
		bx_devices.outp(address_port, 0x80000000 | source << 8 | (offset & 0xfc), 4);
	}
	~Selected()
	{
		bx_devices.outp(address_port, before, 4);
	}

      private:
	const Bit32u before;
};

static bool is_bochs_own(SourceId source, unsigned offset)
{
	return source < 0x100 && offset < 0x100;
}

uint64_t Ecam::read(uint64_t offset, unsigned n)
{
	SourceId source = offset >> 12;
	unsigned at = offset & 0xfff;
	auto ours = functions.find(source);

	if (n == 8)
		return read(offset, 4) | read(offset + 4, 4) << 32;
	if (ours != functions.end())
		return ours->second->config_read(at, n);
	if (!is_bochs_own(source, at))
		return UINT64_MAX;
	Selected selected(source, at);
	return bx_devices.inp(data_port + at % 4, n);
}

void Ecam::write(uint64_t offset, unsigned n, uint64_t value)
{
	SourceId source = offset >> 12;
	unsigned at = offset & 0xfff;
	auto ours = functions.find(source);

	if (n == 8) {
		write(offset, 4, value);
		write(offset + 4, 4, value >> 32);
	} else if (ours != functions.end()) {
		ours->second->config_write(at, n, value);
	} else if (is_bochs_own(source, at)) {
		Selected selected(source, at);
		bx_devices.outp(data_port + at % 4, value, n);
	}
}

} // namespace bochs
