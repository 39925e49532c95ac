/* The registers of a virtio device on PCI (VIRTIO 1.2, 4.1.4), and its life from reset to reset. */
#include <bochs/devices/virtio.h>

#include <algorithm>
#include <cstring>

namespace bochs
{

namespace
{

constexpr uint8_t PCI_CAP_VENDOR = 0x09;
constexpr unsigned PCI_COMMAND = 4;
constexpr uint32_t PCI_COMMAND_BUS_MASTER = 4;

FunctionIdentity pci_identity(const VirtioIdentity &identity)
{
	FunctionIdentity pci = {};

	pci.vendor = pci.subsystem_vendor = VIRTIO_VENDOR;
	pci.device = VIRTIO_DEVICE_BASE + identity.type;
	pci.subsystem = 0x1100; /* 4.1.2.1: 0x40 or more, so that no old driver takes it */
	pci.class_code = identity.class_code;
	pci.revision = 1;
	pci.source = identity.source;
	return pci;
}

/* The fields of the common configuration that a driver writes, each with its own width (4.1.3.1).
 * 0: there is none at this offset. */
unsigned field_bytes(unsigned offset)
{
	switch (offset) {
	case offsetof(VirtioCommon, device_status):
		return 1;
	case offsetof(VirtioCommon, config_msix_vector):
	case offsetof(VirtioCommon, queue_select):
	case offsetof(VirtioCommon, queue_size):
	case offsetof(VirtioCommon, queue_msix_vector):
	case offsetof(VirtioCommon, queue_enable):
		return 2;
	case offsetof(VirtioCommon, device_feature_select):
	case offsetof(VirtioCommon, driver_feature_select):
	case offsetof(VirtioCommon, driver_feature):
		return 4;
	}
	return offset >= offsetof(VirtioCommon, queue_desc) && offset < sizeof(VirtioCommon) &&
			       offset % 4 == 0 ?
		       4 :
		       0;
}

void set_half(uint64_t &address, unsigned half, uint32_t value)
{
	unsigned shift = 32 * half;

	address = (address & ~(0xffffffffull << shift)) | (uint64_t)value << shift;
}

} // namespace

Virtio::Virtio(Machine &machine_, Knobs &knobs_, Upstream &upstream, const std::string &name_,
	       const VirtioIdentity &identity)
	: Function(machine_, knobs_, upstream, name_, pci_identity(identity)),
	  config(identity.config_bytes),
	  features_offered(identity.features | VIRTIO_F_VERSION_1 | VIRTIO_F_ACCESS_PLATFORM),
	  queues(identity.queues, Virtqueue(*this)),
	  notify_timer(machine_.timer(name.c_str(), [this] { notify_expired(); }))
{
	add_bar(VIRTIO_BAR, VIRTIO_BAR_BYTES);
	add_bar(VIRTIO_MSIX_BAR, VIRTIO_MSIX_BAR_BYTES);
	add_pcie(true);
	add_msix(VIRTIO_MSIX_BAR, VIRTIO_MSIX_TABLE, VIRTIO_MSIX_PENDING, identity.queues + 1);
	add_structures();
	if (identity.ats)
		add_ats();
	add_knobs();
}

/* A capability for each structure. That for access through configuration space
 * (VIRTIO_PCI_CAP_PCI_CFG) is left out: no operating system needs it. */
void Virtio::add_structures()
{
	add_structure(VIRTIO_PCI_CAP_COMMON_CFG, VIRTIO_COMMON_OFFSET, sizeof(VirtioCommon));
	add_structure(VIRTIO_PCI_CAP_NOTIFY_CFG, VIRTIO_NOTIFY_OFFSET,
		      VIRTIO_NOTIFY_MULTIPLIER * queues.size());
	add_structure(VIRTIO_PCI_CAP_ISR_CFG, VIRTIO_ISR_OFFSET, 1);
	add_structure(VIRTIO_PCI_CAP_DEVICE_CFG, VIRTIO_CONFIG_OFFSET, config.size());
}

void Virtio::add_structure(uint8_t type, unsigned offset, unsigned bytes)
{
	/* struct virtio_pci_cap behind its first two bytes (4.1.4) */
	std::vector<uint8_t> body = { 16, type, VIRTIO_BAR, 0, 0, 0 };
	auto add32 = [&body](uint32_t value) {
		for (unsigned i = 0; i < 4; i++)
			body.push_back(value >> (8 * i));
	};

	add32(offset);
	add32(bytes);
	if (type == VIRTIO_PCI_CAP_NOTIFY_CFG) {
		body[0] = 20;
		add32(VIRTIO_NOTIFY_MULTIPLIER);
	}
	add_capability(PCI_CAP_VENDOR, body);
}

void Virtio::add_knobs()
{
	knobs.add(name + ".delay", &notify_delay);
	knobs.add(name + ".bad", [this] { return std::to_string(bad); });
	knobs.add(name + ".status", [this] { return std::to_string(status); });
}

/* --- for devices ---------------------------------------------------------- */

void Virtio::change_config(unsigned offset, const void *from, unsigned bytes)
{
	memcpy(config.data() + offset, from, bytes);
	generation++;
	config_interrupt();
}

bool Virtio::negotiated(uint64_t feature) const
{
	return (features & feature) == feature;
}

bool Virtio::running() const
{
	return (status & VIRTIO_DRIVER_OK) &&
	       !(status & (VIRTIO_DEVICE_NEEDS_RESET | VIRTIO_FAILED)) &&
	       (config_read(PCI_COMMAND, 2) & PCI_COMMAND_BUS_MASTER);
}

Virtqueue &Virtio::queue(unsigned index)
{
	return queues[index];
}

bool Virtio::take(unsigned index, VirtqueueChain &chain)
{
	Virtqueue &q = queues[index];

	if (!running() || !q.registers.enabled)
		return false;
	Virtqueue::Take result = q.take(chain);
	if (result == Virtqueue::Take::broken)
		needs_reset(q.wrong());
	return result == Virtqueue::Take::chain;
}

void Virtio::put(unsigned index, const VirtqueueChain &chain, uint32_t written)
{
	if (running() && !queues[index].put(chain, written))
		needs_reset(queues[index].wrong());
}

void Virtio::interrupt(unsigned index)
{
	Virtqueue &q = queues[index];

	if (!running())
		return;
	if (!q.interrupt_wanted()) {
		if (*q.wrong())
			needs_reset(q.wrong());
		return;
	}
	isr |= VIRTIO_ISR_QUEUE;
	if (q.registers.vector != Virtqueue::NO_VECTOR)
		raise(q.registers.vector);
}

void Virtio::needs_reset(const std::string &why)
{
	bad++;
	machine.log(name + ": needs a reset: " + why);
	status |= VIRTIO_DEVICE_NEEDS_RESET;
	config_interrupt();
}

/* No notification may be sent before DRIVER_OK (2.1.2). */
void Virtio::config_interrupt()
{
	if (!(status & VIRTIO_DRIVER_OK))
		return;
	isr |= VIRTIO_ISR_CONFIG;
	if (config_vector != Virtqueue::NO_VECTOR)
		raise(config_vector);
}

bool Virtio::queue_read(uint64_t address, void *to, unsigned bytes)
{
	return dma_read(address, to, bytes);
}

bool Virtio::queue_write(uint64_t address, const void *from, unsigned bytes)
{
	return dma_write(address, from, bytes);
}

/* --- registers ------------------------------------------------------------ */

VirtioCommon Virtio::common() const
{
	VirtioCommon c = {};
	auto half = [](uint64_t value, uint32_t select) -> uint32_t {
		return select < 2 ? value >> (32 * select) : 0;
	};

	c.device_feature_select = device_feature_select;
	c.device_feature = half(features_offered, device_feature_select);
	c.driver_feature_select = driver_feature_select;
	c.driver_feature = half(features, driver_feature_select);
	c.config_msix_vector = config_vector;
	c.num_queues = queues.size();
	c.device_status = status;
	c.config_generation = generation;
	c.queue_select = queue_select;
	if (queue_select >= queues.size())
		return c; /* a size of 0: there is no such queue */

	const Virtqueue::Registers &r = queues[queue_select].registers;
	c.queue_size = r.size;
	c.queue_msix_vector = r.vector;
	c.queue_enable = r.enabled;
	c.queue_notify_off = queue_select;
	for (uint32_t i = 0; i < 2; i++) {
		c.queue_desc[i] = half(r.descriptors, i);
		c.queue_driver[i] = half(r.driver, i);
		c.queue_device[i] = half(r.device, i);
	}
	return c;
}

uint64_t Virtio::device_read(unsigned bar, unsigned offset, unsigned bytes)
{
	VirtioCommon c = common();
	uint64_t value = 0;
	auto copy = [&](const void *from, unsigned size, unsigned base) {
		if (offset < base || offset - base >= size)
			return false;
		memcpy(&value, static_cast<const uint8_t *>(from) + offset - base,
		       std::min(bytes, size - (offset - base)));
		return true;
	};

	if (bar != VIRTIO_BAR)
		return 0;
	if (offset == VIRTIO_ISR_OFFSET) {
		value = isr;
		isr = 0;
	} else if (!copy(&c, sizeof(c), VIRTIO_COMMON_OFFSET)) {
		copy(config.data(), config.size(), VIRTIO_CONFIG_OFFSET);
	}
	return value;
}

void Virtio::device_write(unsigned bar, unsigned offset, unsigned bytes, uint64_t value)
{
	if (bar != VIRTIO_BAR)
		return;
	if (offset >= VIRTIO_NOTIFY_OFFSET) {
		notify(offset - VIRTIO_NOTIFY_OFFSET, value);
		return;
	}
	if (bytes == field_bytes(offset) && common_write(offset, value))
		return;
	bad++;
	machine.log(name + ": the driver wrote " + std::to_string(bytes) + " bytes at offset " +
		    std::to_string(offset) + " of BAR 0, or at a wrong time; ignored");
}

/* Writes to fields outside the selected queue. False: it has no effect. */
bool Virtio::common_write(unsigned offset, uint32_t value)
{
	switch (offset) {
	case offsetof(VirtioCommon, device_feature_select):
		device_feature_select = value;
		return true;
	case offsetof(VirtioCommon, driver_feature_select):
		driver_feature_select = value;
		return true;
	case offsetof(VirtioCommon, driver_feature):
		if (status & VIRTIO_FEATURES_OK) /* 3.1.1: no new ones after this step */
			return false;
		if (driver_feature_select < 2)
			set_half(features, driver_feature_select, value);
		return true;
	case offsetof(VirtioCommon, config_msix_vector):
		config_vector = valid_vector(value);
		return true;
	case offsetof(VirtioCommon, device_status):
		write_status(value);
		return true;
	case offsetof(VirtioCommon, queue_select):
		queue_select = value;
		return true;
	}
	return queue_select < queues.size() && queue_field_write(offset, value);
}

bool Virtio::queue_field_write(unsigned offset, uint32_t value)
{
	Virtqueue::Registers &r = queues[queue_select].registers;

	if (offset == offsetof(VirtioCommon, queue_msix_vector)) {
		r.vector = valid_vector(value);
		return true;
	}
	if (r.enabled)
		return false;
	switch (offset) {
	case offsetof(VirtioCommon, queue_size):
		r.size = value;
		return true;
	case offsetof(VirtioCommon, queue_enable):
		if (value != 1) /* 4.1.4.3.2: a driver must not write 0 */
			return false;
		enable_queue();
		return true;
	}
	uint64_t *addresses[] = { &r.descriptors, &r.driver, &r.device };
	unsigned half = (offset - offsetof(VirtioCommon, queue_desc)) / 4;
	set_half(*addresses[half / 2], half % 2, value);
	return true;
}

/* A driver reads the vector back to see whether the device took it (4.1.5.1.2). */
uint16_t Virtio::valid_vector(uint32_t vector) const
{
	return vector <= queues.size() ? vector : Virtqueue::NO_VECTOR;
}

void Virtio::enable_queue()
{
	Virtqueue &q = queues[queue_select];

	if (!q.enable())
		needs_reset(q.wrong());
}

void Virtio::write_status(uint8_t value)
{
	constexpr uint64_t NEEDED = VIRTIO_F_VERSION_1 | VIRTIO_F_ACCESS_PLATFORM;

	if (!value) {
		device_reset();
		return;
	}
	/* Bits are only set until the reset (2.1.1), and DEVICE_NEEDS_RESET by the device. */
	value = status | (value & ~VIRTIO_DEVICE_NEEDS_RESET);
	if ((features & ~features_offered) || !negotiated(NEEDED))
		value &= ~VIRTIO_FEATURES_OK;
	if (!(value & VIRTIO_FEATURES_OK))
		value &= ~VIRTIO_DRIVER_OK;
	status = value;
}

void Virtio::device_reset()
{
	notify_timer->cancel();
	notified_queues = 0;
	for (Virtqueue &q : queues)
		q.reset();
	features = 0;
	device_feature_select = driver_feature_select = 0;
	config_vector = Virtqueue::NO_VECTOR;
	queue_select = 0;
	status = isr = 0;
	stopped();
}

/* --- notifications -------------------------------------------------------- */

/* A device looks into its queue some time after the notification, not within the driver's write:
 * only so a driver that frees buffers too early is seen. */
void Virtio::notify(unsigned offset, uint64_t value)
{
	unsigned index = offset / VIRTIO_NOTIFY_MULTIPLIER;

	if (offset % VIRTIO_NOTIFY_MULTIPLIER || index >= queues.size() || value != index ||
	    !(status & VIRTIO_DRIVER_OK) || !queues[index].registers.enabled) {
		bad++;
		machine.log(name + ": notification for queue " + std::to_string(value) +
			    ", which is not in use, or at another queue's address; ignored");
		return;
	}
	if (!notified_queues)
		notify_timer->set(notify_delay);
	notified_queues |= 1u << index;
}

void Virtio::notify_expired()
{
	uint32_t which = notified_queues;

	notified_queues = 0;
	for (unsigned i = 0; i < queues.size(); i++)
		if ((which & 1u << i) && running())
			notified(i);
}

} // namespace bochs
