/* An access to registers as a processor makes it: naturally aligned, 1, 2, 4 or 8 bytes. */
#pragma once

#include <cstdint>

namespace bochs
{

/* How many of these bytes the first such access takes. */
inline unsigned piece(uint64_t address, unsigned bytes)
{
	unsigned part = 8;

	while (part > bytes || address % part)
		part /= 2;
	return part;
}

} // namespace bochs
