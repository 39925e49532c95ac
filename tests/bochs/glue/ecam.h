/* Configuration space in memory (PCIe, 7.2.2): all 4096 bytes of our functions, the first 256 of
 * Bochs' own, and all ones where nothing is. The firmware's MCFG table has to say where it is. */
#pragma once

#include <bochs/glue/addressmap.h>
#include <bochs/glue/pcifunction.h>
#include <map>

namespace bochs
{

class Ecam
{
      public:
	static constexpr uint64_t base = 0xe0000000, bytes = 256 << 20;

	/* Empty: it is in the map. */
	std::string attach(AddressMap &map);
	void add(SourceId source, PciFunction &function);

      private:
	std::map<SourceId, PciFunction *> functions;

	uint64_t read(uint64_t offset, unsigned bytes);
	void write(uint64_t offset, unsigned bytes, uint64_t value);
};

} // namespace bochs
