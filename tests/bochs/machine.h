/* What the parts of the test machine need of the machine around them: physical memory, time, the
 * processors' interrupt bus. Bochs provides it (glue/), or a host test.
 * Nothing here knows Bochs. */
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace bochs
{

/* A requester id: bus 15:8, device 7:3, function 2:0. */
using SourceId = uint16_t;

/* An interrupt as the processors' bus takes it: after remapping. */
struct Interrupt {
	uint32_t destination;
	uint8_t vector;
	uint8_t delivery_mode; /* as in the APIC's interrupt command register */
	bool logical;
	bool level;
};

/* Calls its function once, some time after it was set. */
class Timer
{
      public:
	virtual ~Timer() = default;
	/* In so many nanoseconds of the machine's time; replaces what was set before. */
	virtual void set(uint64_t nanoseconds) = 0;
	virtual void cancel() = 0;
};

class Machine
{
      public:
	virtual ~Machine() = default;
	/* Physical memory and MMIO. A range may cross pages. */
	virtual void read(uint64_t address, void *to, unsigned bytes) = 0;
	virtual void write(uint64_t address, const void *from, unsigned bytes) = 0;
	virtual void interrupt(const Interrupt &interrupt) = 0;
	/* The machine's time in nanoseconds; it does not go back. */
	virtual uint64_t now() = 0;
	virtual std::unique_ptr<Timer> timer(const char *name, std::function<void()> expired) = 0;
	/* A line for the machine's log. */
	virtual void log(const std::string &line) = 0;

	uint64_t read64(uint64_t address)
	{
		uint64_t value = 0;
		read(address, &value, sizeof(value));
		return value;
	}
};

} // namespace bochs
