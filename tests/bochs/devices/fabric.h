/* The root complex between functions and units: it routes a function's request to its unit, what
 * comes out of the unit to memory or a BAR, and requests between functions of one device past the
 * unit if ACS does not redirect them (PCIe, section 6.12). */
#pragma once

#include <bochs/devices/function.h>
#include <bochs/unit/vtd.h>

namespace bochs
{

class Fabric : public Upstream
{
      public:
	Fabric(Machine &machine, Knobs &knobs);
	~Fabric() override;

	/* The first unit is that of all functions that no other has (INCLUDE_PCI_ALL). */
	void add_unit(Vtd &unit);
	void add_function(Function &function);
	/* Requests of this function go through units[index]. */
	void set_unit(SourceId source, unsigned index);
	Function *function(SourceId source) const;

	bool read(SourceId source, uint64_t address, void *to, unsigned bytes) override;
	bool write(SourceId source, uint64_t address, const void *from, unsigned bytes) override;
	bool read_translated(SourceId source, uint64_t address, void *to, unsigned bytes) override;
	bool write_translated(SourceId source, uint64_t address, const void *from,
			      unsigned bytes) override;
	Translation translate(SourceId source, uint64_t address, bool write) override;
	void message(SourceId source, uint64_t address, uint32_t data) override;

      private:
	struct Inside;
	std::unique_ptr<Inside> inside;
};

} // namespace bochs
