/* The remapping of messages (VT-d, 5.1, 5.2 and 9.10). */
#pragma once

#include <bochs/unit/interruptcache.h>

namespace bochs
{

/* As Translator::message. */
bool remap_message(Environment &environment, InterruptCache &cache, SourceId source,
		   uint64_t address, uint32_t data, Interrupt &interrupt, Verdict &verdict);

} // namespace bochs
