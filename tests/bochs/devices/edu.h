/* QEMU's edu device (docs/specs/edu.rst there): a DMA engine that does what it is told, and an
 * interrupt. Unlike QEMU's it is a PCI Express function with FLR, and, if asked, ATS and ACS. */
#pragma once

#include <memory>
#include <bochs/devices/function.h>

namespace bochs
{

struct EduOptions {
	bool ats = false, acs = false;
};

class Edu : public Function
{
      public:
	/* Its knobs: `name`.dma, the nanoseconds that a transfer takes; `name`.transfers and
	 * `name`.blocked, how many there were, and how many of them did not go through. */
	Edu(Machine &machine, Knobs &knobs, Upstream &upstream, const std::string &name,
	    SourceId source, bool multifunction, const EduOptions &options = {});

      protected:
	uint64_t device_read(unsigned bar, unsigned offset, unsigned bytes) override;
	void device_write(unsigned bar, unsigned offset, unsigned bytes, uint64_t value) override;
	void device_reset() override;

      private:
	static constexpr unsigned buffer_bytes = 4096;
	/* The four registers of 64 bits of the DMA engine. */
	struct Dma {
		uint64_t source, destination, count, command;
	};

	uint64_t *dma_register(unsigned offset);
	void write_control(unsigned offset, uint32_t value);
	void write_dma(unsigned offset, unsigned bytes, uint64_t value);
	void set_factorial(uint32_t of);
	void interrupt(uint32_t causes);
	bool transfer();
	void finish();

	std::array<uint8_t, buffer_bytes> buffer = {};
	Dma dma = {};
	uint32_t liveness = 0, factorial = 0, status = 0, causes = 0;
	uint64_t nanoseconds = 100000, transfers = 0, blocked = 0;
	std::unique_ptr<Timer> timer;
};

} // namespace bochs
