/* For host tests: a small virtio driver on the fake machine, which can also break the rules, and a
 * root complex without a remapping unit, which can block a page. */
#pragma once

#include <set>
#include <vector>
#include <bochs/devices/function.h>
#include <bochs/devices/virtioregisters.h>
#include <bochs/testmachine.h>

namespace bochs
{

class OpenUpstream : public Upstream
{
      public:
	explicit OpenUpstream(TestMachine &machine);

	bool read(SourceId source, uint64_t address, void *to, unsigned bytes) override;
	bool write(SourceId source, uint64_t address, const void *from, unsigned bytes) override;
	bool read_translated(SourceId source, uint64_t address, void *to, unsigned bytes) override;
	bool write_translated(SourceId source, uint64_t address, const void *from,
			      unsigned bytes) override;
	Translation translate(SourceId source, uint64_t address, bool write) override;
	void message(SourceId source, uint64_t address, uint32_t data) override;

	std::set<uint64_t> blocked; /* page numbers */
	std::vector<uint32_t> messages; /* their data */
	uint64_t requests = 0;

      private:
	TestMachine &machine;
};

/* A queue's rings, as a driver keeps them. */
struct DriverQueue {
	uint16_t index, size;
	uint64_t descriptors, driver, device;
	uint16_t next_descriptor = 0, available = 0, used = 0;
};

struct DriverBuffer {
	uint64_t address;
	uint32_t length;
	bool device_writes;
};

class VirtioDriver
{
      public:
	VirtioDriver(TestMachine &machine, Function &function);

	/* BARs, bus master, MSI-X: vector i is message i. */
	void enable_pci();
	/* Where a structure is; 0: there is no capability for it. */
	uint32_t structure(uint8_t type, uint32_t &bytes) const;
	uint64_t read(unsigned offset, unsigned bytes);
	void write(unsigned offset, unsigned bytes, uint64_t value);
	/* Fields of the common configuration. */
	uint8_t status();
	void set_status(uint8_t value);
	uint64_t offered();
	/* True: the device took them. */
	bool accept(uint64_t features);
	void set_up_queue(DriverQueue &queue, uint16_t vector);
	/* All of it: reset, features, queues with a vector each, DRIVER_OK. */
	void start(uint64_t features, std::vector<DriverQueue *> queues);

	/* Put a chain into a queue; its head. Notify and let the device do its work: run(). */
	uint16_t add(DriverQueue &queue, const std::vector<DriverBuffer> &buffers);
	void make_available(DriverQueue &queue, uint16_t head);
	void set_descriptor(DriverQueue &queue, uint16_t index, uint64_t address, uint32_t length,
			    uint16_t flags, uint16_t next);
	void notify(const DriverQueue &queue);
	void run(const DriverQueue &queue);
	/* The next used element; false: there is none. */
	bool used(DriverQueue &queue, uint32_t &head, uint32_t &length);

	uint8_t isr();

      private:
	TestMachine &machine;
	Function &function;
};

/* A queue of 8 whose rings start at this address, each in a page of its own. */
DriverQueue driver_queue(uint16_t index, uint64_t address);

} // namespace bochs
