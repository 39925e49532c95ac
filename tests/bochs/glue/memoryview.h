/* The machine's memory and registers as a test sees them by the control socket. An access of 1, 2,
 * 4 or 8 aligned bytes is one access; it may have the side effects that a register has. */
#pragma once

#include <bochs/machine.h>

namespace bochs
{

class MemoryView
{
      public:
	explicit MemoryView(Machine &machine);

	/* The answer to one of these requests; empty: it is none of them.
	 *   memory ADDRESS BYTES       the bytes, up to a page, in hexadecimal
	 *   poke ADDRESS BYTES         writes bytes, given in hexadecimal
	 *   find BYTES FIRST COUNT     the address of these bytes within RAM, or "none" */
	std::string answer(const std::string &word, const std::string &rest);

      private:
	Machine &machine;

	std::string read(const std::string &rest);
	std::string write(const std::string &rest);
	std::string find(const std::string &rest);
};

} // namespace bochs
