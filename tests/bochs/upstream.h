/* What a function of a device can send: memory requests, messages, and the requests of ATS. The
 * remapping unit, or a fabric before it, receives them. */
#pragma once

#include <bochs/machine.h>

namespace bochs
{

/* The answer to an ATS translation request (PCIe, chapter 10). */
struct Translation {
	bool read = false, write = false; /* neither: not translated; the device may ask again */
	uint64_t address = 0; /* of the first byte of the translated range */
	uint64_t bytes = 0; /* its size: 4 KiB or a larger power of two */
	bool untranslated_only = false; /* U */
};

class Upstream
{
      public:
	virtual ~Upstream() = default;
	/* False: blocked. A read that is blocked returns all ones. */
	virtual bool read(SourceId source, uint64_t address, void *to, unsigned bytes) = 0;
	virtual bool write(SourceId source, uint64_t address, const void *from, unsigned bytes) = 0;
	/* The address type says "translated": what the device took from its own TLB. */
	virtual bool read_translated(SourceId source, uint64_t address, void *to,
				     unsigned bytes) = 0;
	virtual bool write_translated(SourceId source, uint64_t address, const void *from,
				      unsigned bytes) = 0;
	virtual Translation translate(SourceId source, uint64_t address, bool write) = 0;
	/* A write of 4 bytes to 0xfeexxxxx. */
	virtual void message(SourceId source, uint64_t address, uint32_t data) = 0;
};

/* What a device TLB is told. */
struct DeviceTlbInvalidation {
	SourceId target;
	uint64_t address;
	uint64_t bytes; /* all ones: everything */
	bool global; /* for all PASIDs; without PASID it has no meaning */
	uint16_t tag; /* names the request in its completion */
};

} // namespace bochs
