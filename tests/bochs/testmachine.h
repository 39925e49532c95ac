/* A machine for host tests: memory in pages that exist once they are written, a clock that only the
 * test advances, and lists of what was delivered and logged. */
#pragma once

#include <array>
#include <map>
#include <vector>
#include <bochs/machine.h>

namespace bochs
{

class TestMachine : public Machine
{
      public:
	~TestMachine() override;

	void read(uint64_t address, void *to, unsigned bytes) override;
	void write(uint64_t address, const void *from, unsigned bytes) override;
	void interrupt(const Interrupt &interrupt) override;
	uint64_t now() override;
	/* The timer must not outlive the machine. */
	std::unique_ptr<Timer> timer(const char *name, std::function<void()> expired) override;
	void log(const std::string &line) override;

	/* Lets time pass. Timers expire in order, each at its own time; one that is set meanwhile
	 * expires, too, if its time comes. */
	void advance(uint64_t nanoseconds);
	/* The time of the next timer, or all ones. */
	uint64_t next_expiry() const;

	void write64(uint64_t address, uint64_t value);
	void write32(uint64_t address, uint32_t value);
	uint32_t read32(uint64_t address);
	/* Whether a line of the log contains this text. */
	bool logged(const std::string &text) const;

	std::vector<Interrupt> interrupts;
	std::vector<std::string> lines;

      private:
	class TestTimer;
	std::map<uint64_t, std::array<uint8_t, 4096>> pages;
	std::vector<TestTimer *> timers;
	uint64_t clock = 0;
	uint64_t timers_set = 0; /* of two timers at one time, the one set first is first */
};

} // namespace bochs
