/* Descriptors of the invalidation queue, of 128 bits (VT-d, section 6.5.2): decoded and checked. */
#pragma once

#include <bochs/unit/translator.h>

namespace bochs
{

enum class DescriptorType : uint8_t {
	context = 1,
	iotlb = 2,
	device_tlb = 3,
	interrupt_entries = 4,
	wait = 5,
};

/* IQERCD_REG.IQEI: why a descriptor was refused (11.4.9.9). */
enum class QueueError : uint8_t {
	unknown = 0,
	invalid_tail = 1,
	fetch = 2,
	invalid_type = 3,
	reserved_field = 4,
};

struct Descriptor {
	DescriptorType type;
	/* context, iotlb: */
	Granularity granularity = Granularity::global;
	uint16_t domain = 0;
	unsigned function_mask = 0;
	unsigned mask = 0; /* AM, or IM of interrupt entries */
	bool hint = false; /* IH */
	/* context, device_tlb: */
	SourceId source = 0;
	/* iotlb, device_tlb: */
	uint64_t address = 0;
	/* device_tlb: */
	uint64_t bytes = 0; /* all ones: everything */
	unsigned max_pending = 32; /* MIP */
	/* interrupt_entries: */
	bool global = false;
	uint16_t index = 0;
	/* wait: */
	bool interrupt = false, status_write = false, fence = false; /* IF, SW, FN */
	uint64_t status_address = 0;
	uint32_t status_data = 0;
};

/* False: it is refused because of `error`. */
bool decode(uint64_t low, uint64_t high, const Features &features, Descriptor &out,
	    QueueError &error);

} // namespace bochs
