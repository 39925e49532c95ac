/* For host tests of the virtio transport and its network device: the device with its driver on the
 * fake machine, and a wire that keeps what is sent. */
#pragma once

#include <bochs/devices/virtionet.h>
#include <bochs/virtiodriver.h>

extern "C" {
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
}

namespace bochs
{

/* Pages for frames. */
constexpr uint64_t BUFFER = 0x100000;
constexpr unsigned HEADER = 12;
constexpr unsigned CONFIG_VECTOR = 2;
constexpr uint8_t RUNNING = 15;

struct Wire : public NetBackend {
	std::vector<std::vector<uint8_t>> frames;

	void send(const uint8_t *frame, unsigned bytes) override
	{
		frames.emplace_back(frame, frame + bytes);
	}
};

struct NetBench {
	TestMachine machine;
	Knobs knobs;
	OpenUpstream upstream{ machine };
	VirtioNet net{ machine, knobs, upstream, "net0", 0x0018, { 2, 3, 4, 5, 6, 7 }, 1400 };
	VirtioDriver driver{ machine, net };
	DriverQueue rx = driver_queue(0, 0x10000), tx = driver_queue(1, 0x20000);
	Wire wire;

	NetBench()
	{
		net.set_backend(&wire);
		driver.enable_pci();
	}
	void start()
	{
		driver.start(0, { &rx, &tx });
	}
	std::string knob(const char *name)
	{
		std::string value;

		assert_true(knobs.get(std::string("net0.") + name, value));
		return value;
	}
	void expect(const char *name, const char *value)
	{
		assert_string_equal(knob(name).c_str(), value);
	}
	void receive_frame(unsigned bytes)
	{
		std::vector<uint8_t> frame(bytes);

		for (unsigned i = 0; i < bytes; i++)
			frame[i] = i;
		net.receive(frame.data(), bytes);
	}
	void transmit_frame(uint64_t at, unsigned bytes)
	{
		driver.add(tx, { { at, HEADER + bytes, false } });
		driver.run(tx);
	}
};

} // namespace bochs
