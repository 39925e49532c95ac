/* The TLB of a device with ATS (PCI Express Base 5.0, chapter 10): it caches what the unit
 * translated, and sends translated requests. What it does with an invalidation is a knob, since a
 * real one may answer late, never, or without having done it. */
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>
#include <bochs/knobs.h>
#include <bochs/machine.h>
#include <bochs/upstream.h>

namespace bochs
{

class DeviceTlb
{
      public:
	/* honest: drops the entries, then answers at once. slow: uses them until it answers.
	 * silent: keeps them and never answers. liar: answers at once and keeps them. */
	enum class Mode { honest, slow, silent, liar };

	/* Its knobs are `name`.tlb and `name`.tlb.something. */
	DeviceTlb(Machine &machine, Knobs &knobs, Upstream &upstream, const std::string &name,
		  SourceId source);

	/* The ATS control register was written (10.5.1.3): Enable, smallest translation unit. */
	void control(uint16_t value);
	/* FLR or a reset: entries and invalidations that were not answered are gone. Software sees
	 * a time-out of these. */
	void reset();

	/* Within one page of 4 KiB. Untranslated while it is not enabled. False: blocked. */
	bool read(uint64_t address, void *to, unsigned bytes);
	bool write(uint64_t address, const void *from, unsigned bytes);

	void invalidate(const DeviceTlbInvalidation &request);
	/* The completion. */
	std::function<void(uint16_t tag)> done;

      private:
	struct Entry {
		Translation translation;
		uint64_t age;
	};
	/* By the untranslated address at which they begin; they do not overlap. */
	using Entries = std::map<uint64_t, Entry>;
	struct Outstanding {
		DeviceTlbInvalidation request;
		uint64_t due;
	};
	enum class Answer { none, translated, untranslated };

	void add_knobs(const std::string &name);
	std::string set_mode(const std::string &text);
	Entries::iterator find(uint64_t address);
	void insert(uint64_t start, const Translation &translation);
	void drop(uint64_t first, uint64_t last);
	void drop(const DeviceTlbInvalidation &request);
	Answer look_up(uint64_t address, bool write, uint64_t &translated);
	void answer_due();
	void arm();

	Machine &machine;
	Knobs &knobs;
	Upstream &upstream;
	const SourceId source;
	bool enabled = false;
	uint64_t unit_bytes = 4096;
	Entries entries;
	std::vector<Outstanding> outstanding;
	std::unique_ptr<Timer> timer;
	Mode mode = Mode::honest;
	uint64_t delay = 1000000;
	uint64_t hits = 0, requests = 0, invalidations = 0, overruns = 0, ages = 0;
};

} // namespace bochs
