/* The remapping of messages (VT-d, 5.1, 5.2 and 9.10). */
#pragma once

#include <bochs/unit/interruptcache.h>

namespace bochs
{

struct Message {
	SourceId source;
	uint64_t address;
	uint32_t data;
};

/* As Translator::message. */
bool remap_message(Environment &environment, InterruptCache &cache, const Message &message,
		   Interrupt &interrupt, Verdict &verdict);

} // namespace bochs
