/* The driver's half of virtio for host tests. */
#include <bochs/virtiodriver.h>

namespace bochs
{

namespace
{

constexpr uint8_t PCI_CAP_VENDOR = 0x09;
constexpr uint8_t PCI_CAP_MSIX = 0x11;
constexpr uint32_t BAR_ADDRESS = 0xf0000000;

#define COMMON(field) offsetof(VirtioCommon, field)

unsigned find_capability(const Function &function, unsigned at, uint8_t id)
{
	for (; at; at = function.config_read(at + 1, 1))
		if (function.config_read(at, 1) == id)
			return at;
	return 0;
}

} // namespace

/* --- upstream ------------------------------------------------------------- */

OpenUpstream::OpenUpstream(TestMachine &machine_) : machine(machine_)
{
}

bool OpenUpstream::read(SourceId, uint64_t address, void *to, unsigned bytes)
{
	requests++;
	if (blocked.count(address >> 12))
		return false;
	machine.read(address, to, bytes);
	return true;
}

bool OpenUpstream::write(SourceId, uint64_t address, const void *from, unsigned bytes)
{
	requests++;
	if (blocked.count(address >> 12))
		return false;
	machine.write(address, from, bytes);
	return true;
}

bool OpenUpstream::read_translated(SourceId source, uint64_t address, void *to, unsigned bytes)
{
	return read(source, address, to, bytes);
}

bool OpenUpstream::write_translated(SourceId source, uint64_t address, const void *from,
				    unsigned bytes)
{
	return write(source, address, from, bytes);
}

Translation OpenUpstream::translate(SourceId, uint64_t, bool)
{
	return Translation();
}

void OpenUpstream::message(SourceId, uint64_t, uint32_t data)
{
	messages.push_back(data);
}

/* --- registers ------------------------------------------------------------ */

VirtioDriver::VirtioDriver(TestMachine &machine_, Function &function_)
	: machine(machine_), function(function_)
{
}

void VirtioDriver::enable_pci()
{
	unsigned msix = find_capability(function, function.config_read(0x34, 1), PCI_CAP_MSIX);
	unsigned entries = (function.config_read(msix + 2, 2) & 0x7ff) + 1;

	function.config_write(0x10, 4, BAR_ADDRESS);
	function.config_write(0x14, 4, BAR_ADDRESS + VIRTIO_BAR_BYTES);
	function.config_write(0x04, 2, 6);
	for (unsigned i = 0; i < entries; i++) {
		function.mmio_write(VIRTIO_MSIX_BAR, 16 * i, 4, 0xfee00000);
		function.mmio_write(VIRTIO_MSIX_BAR, 16 * i + 8, 4, i);
		function.mmio_write(VIRTIO_MSIX_BAR, 16 * i + 12, 4, 0);
	}
	function.config_write(msix + 2, 2, 0x8000);
}

uint32_t VirtioDriver::structure(uint8_t type, uint32_t &bytes) const
{
	unsigned at = find_capability(function, function.config_read(0x34, 1), PCI_CAP_VENDOR);

	while (at && function.config_read(at + 3, 1) != type)
		at = find_capability(function, function.config_read(at + 1, 1), PCI_CAP_VENDOR);
	bytes = at ? function.config_read(at + 12, 4) : 0;
	return at ? function.config_read(at + 8, 4) : 0;
}

uint64_t VirtioDriver::read(unsigned offset, unsigned bytes)
{
	return function.mmio_read(VIRTIO_BAR, offset, bytes);
}

void VirtioDriver::write(unsigned offset, unsigned bytes, uint64_t value)
{
	function.mmio_write(VIRTIO_BAR, offset, bytes, value);
}

uint8_t VirtioDriver::status()
{
	return read(COMMON(device_status), 1);
}

void VirtioDriver::set_status(uint8_t value)
{
	write(COMMON(device_status), 1, value);
}

uint64_t VirtioDriver::offered()
{
	uint64_t features = 0;

	for (unsigned i = 0; i < 2; i++) {
		write(COMMON(device_feature_select), 4, i);
		features |= read(COMMON(device_feature), 4) << (32 * i);
	}
	return features;
}

bool VirtioDriver::accept(uint64_t features)
{
	set_status(0);
	set_status(VIRTIO_ACKNOWLEDGE);
	set_status(VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER);
	for (unsigned i = 0; i < 2; i++) {
		write(COMMON(driver_feature_select), 4, i);
		write(COMMON(driver_feature), 4, (features >> (32 * i)) & 0xffffffff);
	}
	set_status(VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK);
	return status() & VIRTIO_FEATURES_OK;
}

void VirtioDriver::set_up_queue(DriverQueue &queue, uint16_t vector)
{
	uint64_t rings[] = { queue.descriptors, queue.driver, queue.device };

	write(COMMON(queue_select), 2, queue.index);
	write(COMMON(queue_size), 2, queue.size);
	write(COMMON(queue_msix_vector), 2, vector);
	for (unsigned i = 0; i < 3; i++) {
		write(COMMON(queue_desc) + 8 * i, 4, rings[i] & 0xffffffff);
		write(COMMON(queue_desc) + 8 * i + 4, 4, rings[i] >> 32);
	}
	write(COMMON(queue_enable), 2, 1);
}

void VirtioDriver::start(uint64_t features, std::vector<DriverQueue *> queues)
{
	enable_pci();
	accept(features | VIRTIO_F_VERSION_1 | VIRTIO_F_ACCESS_PLATFORM);
	write(COMMON(config_msix_vector), 2, queues.size());
	for (DriverQueue *queue : queues)
		set_up_queue(*queue, queue->index);
	set_status(VIRTIO_DRIVER_OK);
}

uint8_t VirtioDriver::isr()
{
	return read(VIRTIO_ISR_OFFSET, 1);
}

/* --- queues --------------------------------------------------------------- */

DriverQueue driver_queue(uint16_t index, uint64_t address)
{
	DriverQueue queue = {};

	queue.index = index;
	queue.size = 8;
	queue.descriptors = address;
	queue.driver = address + 0x1000;
	queue.device = address + 0x2000;
	return queue;
}

void VirtioDriver::set_descriptor(DriverQueue &queue, uint16_t index, uint64_t address,
				  uint32_t length, uint16_t flags, uint16_t next)
{
	uint64_t at = queue.descriptors + 16 * index;

	machine.write64(at, address);
	machine.write32(at + 8, length);
	machine.write32(at + 12, flags | (uint32_t)next << 16);
}

void VirtioDriver::make_available(DriverQueue &queue, uint16_t head)
{
	machine.write(queue.driver + 4 + 2 * (queue.available % queue.size), &head, 2);
	queue.available++;
	machine.write(queue.driver + 2, &queue.available, 2);
}

/* Descriptors are used in turn: a test has no more chains in flight than fit. */
uint16_t VirtioDriver::add(DriverQueue &queue, const std::vector<DriverBuffer> &buffers)
{
	uint16_t head = queue.next_descriptor % queue.size;

	for (size_t i = 0; i < buffers.size(); i++) {
		uint16_t at = queue.next_descriptor++ % queue.size;
		uint16_t flags = (i + 1 < buffers.size() ? 1 : 0) |
				 (buffers[i].device_writes ? 2 : 0);

		set_descriptor(queue, at, buffers[i].address, buffers[i].length, flags,
			       queue.next_descriptor % queue.size);
	}
	make_available(queue, head);
	return head;
}

void VirtioDriver::notify(const DriverQueue &queue)
{
	write(VIRTIO_NOTIFY_OFFSET + VIRTIO_NOTIFY_MULTIPLIER * queue.index, 2, queue.index);
}

void VirtioDriver::run(const DriverQueue &queue)
{
	notify(queue);
	machine.advance(10000);
}

bool VirtioDriver::used(DriverQueue &queue, uint32_t &head, uint32_t &length)
{
	uint16_t index;

	machine.read(queue.device + 2, &index, 2);
	if (index == queue.used)
		return false;
	uint64_t at = queue.device + 4 + 8 * (queue.used++ % queue.size);
	head = machine.read32(at);
	length = machine.read32(at + 4);
	return true;
}

} // namespace bochs
