/* The remapping of a unit: root, context, paging and interrupt entries, and the caches of them
 * (VT-d, chapters 3, 5 and 6). It records no fault and owns no register: it says what is wrong. */
#pragma once

#include <bochs/machine.h>
#include <bochs/unit/features.h>
#include <bochs/whims.h>

namespace bochs
{

/* What software has set up in registers. The registers change it; the translator reads it. */
struct Tables {
	uint64_t root = 0; /* RTADDR, the frame; legacy mode */
	uint64_t interrupts = 0; /* IRTA, the frame */
	uint64_t interrupt_entries = 0; /* 2^(IRTA.S + 1) */
	bool extended = false; /* IRTA.EIME */
	bool compatibility = false; /* GSTS.CFIS */
	bool translating = false, remapping = false; /* GSTS.TES, IRES */
	/* PMEN.PRS, with its ranges: first and last address of each; empty if last < first. */
	bool protecting = false;
	struct {
		uint64_t first = 1, last = 0;
	} protected_ranges[2];
};

/* How a request ends. */
struct Verdict {
	uint8_t reason = 0; /* of the fault (VT-d, appendix A); 0: none */
	bool silent = false; /* FPD: the fault is not recorded */
	uint64_t address = 0; /* translated */
	uint64_t bytes = 0; /* from `address` on that the same entry translates, at least 1 */
	bool read = false, write = false; /* what the entries allow */
	bool pass_through = false;
	uint64_t info = 0; /* FI of the fault record, in place: page address, or index << 48 */
};

enum class Granularity { global, domain, selective };

class Translator
{
      public:
	Translator(Machine &machine, const Features &features, const Tables &tables, Whims &whims);
	~Translator();
	void reset();

	/* A request that the device has not translated. */
	Verdict request(SourceId source, uint64_t address, bool write);
	/* A read of no bytes: with CAP.ZLR the right to write is enough. */
	Verdict zero_length_read(SourceId source, uint64_t address);
	/* The same for an ATS translation request: a missing right is no fault, it is missing in
	 * the answer. Never cached in the device's stead. */
	Verdict translation_request(SourceId source, uint64_t address, bool write);
	/* A translated request: only the context entry is looked at. */
	Verdict translated(SourceId source, uint64_t address, bool write);
	/* A message. `interrupt` is what to deliver; false with reason 0: it was posted into a
	 * descriptor, and nothing is to be delivered. */
	bool message(SourceId source, uint64_t address, uint32_t data, Interrupt &interrupt,
		     Verdict &verdict);

	/* selective: one source id, with `function_mask` (FM). */
	void invalidate_context(Granularity granularity, uint16_t domain, SourceId source,
				unsigned function_mask);
	/* selective: 2^mask pages at `address`; `hint` (IH): leave the paging structures. */
	void invalidate_iotlb(Granularity granularity, uint16_t domain, uint64_t address,
			      unsigned mask, bool hint);
	/* 2^mask entries from `index` on; global: all. */
	void invalidate_interrupts(bool global, uint16_t index, unsigned mask);
	/* RTADDR or IRTA was latched (SRTP, SIRTP). */
	void root_changed();
	void interrupt_table_changed();

	/* A processor wrote this back (CLFLUSH, CLFLUSHOPT, CLWB): a unit that does not snoop sees
	 * it from now on. */
	void written_back(uint64_t address, unsigned bytes);
	/* Everything was: WBINVD. */
	void all_written_back();
	/* Reads a structure of the tables as the unit sees it. The queue is none: what ECAP.C says
	 * does not hold for it (it is always coherent), so Machine::read() is right there. */
	void fetch(uint64_t address, void *to, unsigned bytes);

	/* What tests ask for. */
	struct Counts {
		uint64_t walks, iotlb_hits, context_hits, interrupt_hits, dropped, prefetched,
			stale;
	} counts = {};
	/* True: software used the unit in a way that the specification forbids, once or more. The
	 * log says how. */
	uint64_t misuses = 0;

      private:
	struct Inside;
	std::unique_ptr<Inside> inside;
};

} // namespace bochs
