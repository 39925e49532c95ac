/* A function of ours on Bochs' PCI bus: its first 256 bytes of configuration space by ports 0xcf8
 * and 0xcfc, all of it by the ECAM, and its BARs at the addresses that were written to them. */
#pragma once

#include <bochs/devices/function.h>
#include <bochs/glue/addressmap.h>
#include <memory>

namespace bochs
{

class PciFunction
{
      public:
	PciFunction(Machine &machine, AddressMap &map, Function &function);
	~PciFunction();
	/* Empty: Bochs has it. Else what is wrong. */
	std::string attach(const char *description);

	uint32_t config_read(unsigned offset, unsigned bytes);
	void config_write(unsigned offset, unsigned bytes, uint32_t value);

      private:
	class Adapter;

	Machine &machine;
	AddressMap &map;
	Function &function;
	std::unique_ptr<Adapter> adapter;
	uint64_t mapped[6] = {}; /* where each BAR is in the address map; 0: nowhere */

	void bars_changed();
	void unmap(unsigned bar);
};

} // namespace bochs
