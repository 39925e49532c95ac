/* Root and context entries in legacy mode (VT-d, 3.4, 9.1 and 9.3). */
#pragma once

#include <bochs/unit/environment.h>

namespace bochs
{

/* Context entry, TT. */
enum class TranslationType : uint8_t { untranslated_only = 0, device_tlb = 1, pass_through = 2 };

struct ContextEntry {
	uint8_t reason = 0; /* of the fault; 0: the entry can be used */
	bool fault_processing_disabled = false;
	TranslationType type = TranslationType::untranslated_only;
	uint16_t domain = 0;
	unsigned levels = 0;
	uint64_t table = 0;
	/* The first address that is too large (reason 4) is 2^width. */
	unsigned width = 0;
};

ContextEntry walk_root(Environment &environment, SourceId source);

} // namespace bochs
