/* A virtio device on PCI, modern only (VIRTIO 1.2, 4.1): features, status, queues, notifications
 * and interrupts. The kinds of devices derive from it. All its DMA goes through the remapping
 * unit, so VIRTIO_F_ACCESS_PLATFORM is offered and must be accepted. */
#pragma once

#include <bochs/devices/function.h>
#include <bochs/devices/virtioregisters.h>
#include <bochs/devices/virtqueue.h>

namespace bochs
{

struct VirtioIdentity {
	uint16_t type; /* 5: 1 network, 2 block */
	uint32_t class_code;
	SourceId source;
	uint64_t features; /* its own; those of the transport are added */
	unsigned queues;
	unsigned config_bytes;
	bool ats; /* it has a TLB of its own */
};

class Virtio : public Function, private VirtqueueMemory
{
      public:
	Virtio(Machine &machine, Knobs &knobs, Upstream &upstream, const std::string &name,
	       const VirtioIdentity &identity);

      protected:
	/* --- for devices: ------------------------------------------------- */
	/* The device configuration (2.5): only the device writes it. */
	std::vector<uint8_t> config;
	/* Count what the driver did wrong: NAME.bad. */
	uint64_t bad = 0;

	/* Write `config` while the driver may be reading it, and tell the driver. */
	void change_config(unsigned offset, const void *from, unsigned bytes);
	/* The driver has accepted this feature. */
	bool negotiated(uint64_t feature) const;
	/* The device may use its queues. */
	bool running() const;
	/* The next chain of a queue. False: there is none, or the ring is broken. */
	bool take(unsigned queue, VirtqueueChain &chain);
	void put(unsigned queue, const VirtqueueChain &chain, uint32_t written);
	/* After one or more put(): interrupt the driver if it wants that. */
	void interrupt(unsigned queue);
	/* The driver has broken a rule, or the rings are out of reach (2.1.2). */
	void needs_reset(const std::string &why);
	Virtqueue &queue(unsigned index);

	/* --- what a device does: ------------------------------------------ */
	/* The driver has notified the queue a while ago. */
	virtual void notified(unsigned queue) = 0;
	/* The device was reset: what it holds of its queues is void. */
	virtual void stopped() = 0;

      private:
	const uint64_t features_offered;
	std::vector<Virtqueue> queues;
	uint64_t features = 0;
	uint32_t device_feature_select = 0, driver_feature_select = 0;
	uint16_t config_vector = Virtqueue::NO_VECTOR;
	uint16_t queue_select = 0;
	uint8_t status = 0, generation = 0, isr = 0;
	uint64_t notify_delay = 1000; /* ns */
	uint32_t notified_queues = 0;
	std::unique_ptr<Timer> notify_timer;

	uint64_t device_read(unsigned bar, unsigned offset, unsigned bytes) override;
	void device_write(unsigned bar, unsigned offset, unsigned bytes, uint64_t value) override;
	void device_reset() override;
	bool queue_read(uint64_t address, void *to, unsigned bytes) override;
	bool queue_write(uint64_t address, const void *from, unsigned bytes) override;

	void add_structures();
	void add_structure(uint8_t type, unsigned offset, unsigned bytes);
	void add_knobs();
	VirtioCommon common() const;
	bool common_write(unsigned offset, uint32_t value);
	bool queue_field_write(unsigned offset, uint32_t value);
	void write_status(uint8_t value);
	uint16_t valid_vector(uint32_t vector) const;
	void enable_queue();
	void notify(unsigned offset, uint64_t value);
	void notify_expired();
	void config_interrupt();
};

} // namespace bochs
