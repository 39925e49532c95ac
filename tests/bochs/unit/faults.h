/* Fault records and the fault status (VT-d, chapter 7): primary fault logging. */
#pragma once

#include <bochs/unit/event.h>

namespace bochs
{

/* FSTS_REG (11.4.7.1) */
constexpr uint64_t FSTS_PFO = 1 << 0, FSTS_PPF = 1 << 1, FSTS_IQE = 1 << 4, FSTS_ICE = 1 << 5,
		   FSTS_ITE = 1 << 6;

/* AT of a fault record */
enum class AddressType : uint8_t { untranslated = 0, translation_request = 1, translated = 2 };

class Faults
{
      public:
	explicit Faults(Core &core);

	/* A blocked request; nothing happens if the verdict says that it is silent. */
	void record(SourceId source, const Verdict &verdict, bool write, AddressType type);
	/* Of the queue: FSTS_IQE, FSTS_ICE or FSTS_ITE. */
	void error(uint64_t status);
	uint64_t status() const;
	/* Neither requests nor interrupts are remapped any more: the next record is the first. */
	void restart();
	/* Software has cleared errors of the queue. */
	std::function<void()> errors_cleared;

	uint64_t recorded = 0, lost = 0;
	Event event;

      private:
	void raise(uint64_t status);
	void record_cleared();
	void status_written(uint64_t before);
	unsigned offset(unsigned index) const;
	bool full(unsigned index) const;
	bool compressed(SourceId source) const;

	Core &core;
	unsigned next = 0;
};

} // namespace bochs
