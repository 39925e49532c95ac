/* A function for host tests: what devices may do is public, and what it is asked is noted. */
#pragma once

#include <bochs/devices/function.h>
#include <bochs/testmachine.h>
#include <bochs/testupstream.h>

namespace bochs
{

class TestFunction : public Function
{
      public:
	TestFunction(Machine &in, Knobs &its_knobs, Upstream &upstream,
		     const std::string &its_name = "dev", SourceId its_source = 0x10,
		     bool multifunction = false)
		: Function(in, its_knobs, upstream, its_name,
			   { 0x1234, 0x5678, 0x1af4, 0x1100, 0x020000, 3, its_source,
			     multifunction })
	{
	}
	using Function::add_acs;
	using Function::add_ats;
	using Function::add_bar;
	using Function::add_capability;
	using Function::add_msi;
	using Function::add_msix;
	using Function::add_pcie;
	using Function::dma_read;
	using Function::dma_write;
	using Function::raise;

	/* Memory decoding and bus mastering on, its first BAR here. */
	void start(uint32_t bar0 = 0xe0000000)
	{
		config_write(0x10, 4, bar0);
		config_write(0x04, 2, 0x0006);
	}
	/* The offset of a capability, by the list; 0: there is none. */
	unsigned capability(uint8_t id) const
	{
		for (unsigned at = config_read(0x34, 1); at; at = config_read(at + 1, 1))
			if (config_read(at, 1) == id)
				return at;
		return 0;
	}
	unsigned extended(uint16_t id) const
	{
		for (unsigned at = 0x100; at; at = config_read(at, 4) >> 20)
			if (config_read(at, 2) == id)
				return at;
		return 0;
	}

	unsigned reads = 0, writes = 0, resets = 0, offset = 0, bytes = 0;
	uint64_t value = 0;

      protected:
	uint64_t device_read(unsigned, unsigned its_offset, unsigned its_bytes) override
	{
		reads++;
		offset = its_offset;
		bytes = its_bytes;
		return value;
	}
	void device_write(unsigned, unsigned its_offset, unsigned its_bytes,
			  uint64_t its_value) override
	{
		writes++;
		offset = its_offset;
		bytes = its_bytes;
		value = its_value;
	}
	void device_reset() override
	{
		resets++;
	}
};

} // namespace bochs
