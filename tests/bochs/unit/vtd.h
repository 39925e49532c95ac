/* A VT-d remapping unit: registers, invalidation queue, faults (VT-d, chapters 6, 7 and 11), around
 * the translator. Written from the specification alone. Its queue takes the machine's time. */
#pragma once

#include <bochs/knobs.h>
#include <bochs/machine.h>
#include <bochs/unit/features.h>
#include <bochs/upstream.h>

namespace bochs
{

class Vtd : public Upstream
{
      public:
	/* Its knobs are `name`.something. Features are read at power_on(). */
	Vtd(Machine &machine, Knobs &knobs, const std::string &name);
	~Vtd() override;
	/* After the configuration was read. Empty: fine. Else what is wrong with it. */
	std::string power_on();
	void reset();

	Features features;

	/* `offset` within the 4 KiB (or more) of registers; 4 or 8 bytes, aligned. */
	uint64_t read_register(unsigned offset, unsigned bytes);
	void write_register(unsigned offset, unsigned bytes, uint64_t value);
	unsigned register_bytes() const;

	bool read(SourceId source, uint64_t address, void *to, unsigned bytes) override;
	bool write(SourceId source, uint64_t address, const void *from, unsigned bytes) override;
	bool read_translated(SourceId source, uint64_t address, void *to, unsigned bytes) override;
	bool write_translated(SourceId source, uint64_t address, const void *from,
			      unsigned bytes) override;
	Translation translate(SourceId source, uint64_t address, bool write) override;
	void message(SourceId source, uint64_t address, uint32_t data) override;

	/* Where invalidation requests for device TLBs go. Returns false if no device has that
	 * source id: the request then times out (ITE). */
	std::function<bool(const DeviceTlbInvalidation &)> device_tlb;
	/* The device's answer. */
	void device_tlb_done(SourceId device, uint16_t tag);
	/* Where requests go behind the unit: memory, or a function's BAR. */
	std::function<void(uint64_t address, void *to, unsigned bytes)> memory_read;
	std::function<void(uint64_t address, const void *from, unsigned bytes)> memory_write;

	void written_back(uint64_t address, unsigned bytes);
	void all_written_back();

      private:
	struct Inside;
	std::unique_ptr<Inside> inside;
};

} // namespace bochs
