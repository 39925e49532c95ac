/* See pcifunction.h. */
#include <bochs/glue/pcifunction.h>

#include <bochs/glue/bochsheaders.h>
#include <bochs/glue/pieces.h>

namespace bochs
{

/* Firmware, local APICs, I/O APIC, remapping units: a BAR is there only while it is sized. */
static constexpr uint64_t end_of_bars = 0xfec00000;
static constexpr uint8_t interrupt_line = 0x3c;

/* What Bochs' PCI bus knows. Its base class handles some registers itself, by a copy of them. */
class PciFunction::Adapter : public bx_pci_device_c
{
      public:
	explicit Adapter(PciFunction &of) : function(of)
	{
		memset(pci_conf, 0, sizeof(pci_conf));
		/* Else the base class would take the BARs for its own. Nobody reads it. */
		pci_conf[0x0e] = 3;
		put("weir", "WEIR");
	}
	Bit32u pci_read_handler(Bit8u address, unsigned bytes) override
	{
		Bit32u value = 0;

		/* The base class keeps writes of this register to itself. */
		function.function.config_write(interrupt_line, 1, pci_conf[interrupt_line]);
		for (unsigned done = 0, part; done < bytes; done += part) {
			part = piece(address + done, bytes - done);
			value |= function.config_read(address + done, part) << done * 8;
		}
		return value;
	}
	void pci_write_handler(Bit8u address, Bit32u value, unsigned bytes) override
	{
		for (unsigned done = 0, part; done < bytes; done += part) {
			part = piece(address + done, bytes - done);
			function.config_write(address + done, part, value >> done * 8);
		}
	}
	void keep_interrupt_line(uint8_t value)
	{
		pci_conf[interrupt_line] = value;
	}

      private:
	PciFunction &function;
};

PciFunction::PciFunction(Machine &its_machine, AddressMap &its_map, Function &its_function)
	: machine(its_machine), map(its_map), function(its_function),
	  adapter(std::make_unique<Adapter>(*this))
{
	function.bars_changed = [this] { bars_changed(); };
}

PciFunction::~PciFunction()
{
	function.bars_changed = nullptr;
	for (unsigned bar = 0; bar < 6; bar++)
		unmap(bar);
}

std::string PciFunction::attach(const char *description)
{
	Bit8u address = function.source() & 0xff;

	if (!DEV_register_pci_handlers(adapter.get(), &address, "weir", description))
		return std::string(description) + ": Bochs has another device at its address";
	bars_changed();
	return "";
}

uint32_t PciFunction::config_read(unsigned offset, unsigned bytes)
{
	uint32_t value = function.config_read(offset, bytes);

	return bytes == 4 ? value : value & ((1u << bytes * 8) - 1);
}

void PciFunction::config_write(unsigned offset, unsigned bytes, uint32_t value)
{
	if (offset == interrupt_line)
		adapter->keep_interrupt_line(value & 0xff);
	function.config_write(offset, bytes, bytes == 4 ? value : value & ((1u << bytes * 8) - 1));
}

void PciFunction::unmap(unsigned bar)
{
	if (mapped[bar])
		map.remove(mapped[bar]);
	mapped[bar] = 0;
}

void PciFunction::bars_changed()
{
	for (unsigned i = 0; i < 6; i++) {
		Function::Bar bar = function.bar(i);
		bool wanted = bar.bytes && bar.decoded && bar.address &&
			      bar.address + bar.bytes <= end_of_bars;
		if (mapped[i] == (wanted ? bar.address : 0))
			continue;
		unmap(i);
		if (!wanted)
			continue;
		std::string wrong = map.add(
			bar.address, bar.bytes,
			[this, i](uint64_t offset, unsigned bytes) {
				return function.mmio_read(i, offset, bytes);
			},
			[this, i](uint64_t offset, unsigned bytes, uint64_t value) {
				function.mmio_write(i, offset, bytes, value);
			});
		if (wrong.empty())
			mapped[i] = bar.address;
		else
			machine.log("a BAR of ours is nowhere: " + wrong);
	}
}

} // namespace bochs
