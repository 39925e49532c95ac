/* Fault reasons in legacy mode (VT-d, appendix A). */
#pragma once

#include <cstdint>

namespace bochs
{

enum FaultReason : uint8_t {
	reason_none = 0,
	reason_root_not_present = 1,
	reason_context_not_present = 2,
	reason_context_invalid = 3,
	reason_beyond_width = 4,
	reason_write = 5,
	reason_read = 6,
	reason_root_reserved = 0xa,
	reason_context_reserved = 0xb,
	reason_paging_reserved = 0xc,
	reason_translation_type = 0xd,
	reason_interrupt_range = 0xe,
	reason_message_reserved = 0x20,
	reason_index = 0x21,
	reason_entry_not_present = 0x22,
	reason_entry_reserved = 0x24,
	reason_compatibility = 0x25,
	reason_source = 0x26,
	reason_descriptor_reserved = 0x28,
	reason_no_message = 0x29,
};

} // namespace bochs
