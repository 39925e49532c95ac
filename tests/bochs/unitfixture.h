/* A unit on a fake machine, and software that drives it: for tests of its registers, its
 * queue and its faults. */
#pragma once

#include <bochs/testmachine.h>
#include <bochs/unit/capabilities.h>
#include <bochs/unit/commands.h>
#include <bochs/unit/vtd.h>

namespace bochs
{

constexpr uint64_t RING = 0x200000, STATUS = 0x300000;
constexpr unsigned CONTROL_IM = 1u << 31, CONTROL_IP = 1u << 30;

struct UnitFixture {
	UnitFixture()
	{
		vtd.device_tlb = [this](const DeviceTlbInvalidation &request) {
			requests.push_back(request);
			return true;
		};
	}

	uint32_t read4(unsigned offset)
	{
		return vtd.read_register(offset, 4);
	}
	uint64_t read8(unsigned offset)
	{
		return vtd.read_register(offset, 8);
	}
	void write4(unsigned offset, uint32_t value)
	{
		vtd.write_register(offset, 4, value);
	}
	void write8(unsigned offset, uint64_t value)
	{
		vtd.write_register(offset, 8, value);
	}
	std::string knob(const std::string &word)
	{
		std::string value;
		knobs.get("vtd0." + word, value);
		return value;
	}
	/* Empty: it is set. */
	std::string set(const std::string &word, const std::string &value)
	{
		return knobs.set("vtd0." + word, value);
	}
	/* As software gives a command: beside the switches that are on. */
	void command(uint32_t bit)
	{
		constexpr uint32_t switches = GCMD_TE | GCMD_QIE | GCMD_IRE | GCMD_CFI;
		write4(GCMD_REG, (read4(GSTS_REG) & switches) | bit);
	}
	/* A queue of 256 descriptors, without interrupts. */
	void start_queue()
	{
		vtd.power_on();
		write8(IQA_REG, RING);
		write8(IQT_REG, 0);
		command(GCMD_QIE);
	}
	/* Writes a descriptor at the tail, and does not yet post it. */
	void put(uint64_t low, uint64_t high = 0)
	{
		machine.write64(RING + tail, low);
		machine.write64(RING + tail + 8, high);
		tail = (tail + 16) % 4096;
	}
	void post()
	{
		write8(IQT_REG, tail);
	}
	void put_wait(uint64_t flags, uint32_t data)
	{
		put(5 | flags | uint64_t(data) << 32, STATUS);
	}
	/* Events to this vector of processor 2. */
	void unmask(unsigned control, uint8_t vector)
	{
		write4(control + 8, 0xfee02000);
		write4(control + 4, vector);
		write4(control, 0);
	}
	uint32_t status()
	{
		return machine.read32(STATUS);
	}

	TestMachine machine;
	Knobs knobs;
	Vtd vtd{ machine, knobs, "vtd0" };
	std::vector<DeviceTlbInvalidation> requests;
	unsigned tail = 0;
};

/* Descriptors */
constexpr uint64_t WAIT_IF = 1 << 4, WAIT_SW = 1 << 5, WAIT_FN = 1 << 6;
constexpr uint64_t CONTEXT_GLOBAL = 1 | 1 << 4, IOTLB_GLOBAL = 2 | 1 << 4, INTERRUPTS_GLOBAL = 4;
constexpr uint64_t device_request(SourceId source)
{
	return 3 | uint64_t(source) << 32;
}

} // namespace bochs
