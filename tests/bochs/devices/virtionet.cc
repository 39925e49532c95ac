/* Moves frames between the two queues and the backend. */
#include <bochs/devices/virtionet.h>

#include <cstring>

namespace bochs
{

namespace
{

/* 5.1.3 */
constexpr uint64_t VIRTIO_NET_F_MTU = 1ull << 3;
constexpr uint64_t VIRTIO_NET_F_MAC = 1ull << 5;
constexpr uint64_t VIRTIO_NET_F_STATUS = 1ull << 16;

struct NetConfig { /* virtio_net_config (5.1.4) */
	uint8_t mac[6];
	uint16_t status, max_virtqueue_pairs, mtu;
};
static_assert(sizeof(NetConfig) == 12, "VIRTIO 1.2, 5.1.4");
constexpr uint16_t VIRTIO_NET_S_LINK_UP = 1;

struct NetHeader { /* virtio_net_hdr (5.1.6) */
	uint8_t flags, gso_type;
	uint16_t hdr_len, gso_size, csum_start, csum_offset, num_buffers;
};
static_assert(sizeof(NetHeader) == 12, "VIRTIO 1.2, 5.1.6");

constexpr unsigned MIN_FRAME = 14; /* an Ethernet header */
constexpr unsigned MAX_FRAME = 65550; /* 5.1.6.3.1: the largest that a driver is ready for */

VirtioIdentity identity(SourceId source, uint16_t mtu, bool ats)
{
	VirtioIdentity id = {};

	id.type = 1;
	id.class_code = 0x020000;
	id.source = source;
	id.features = VIRTIO_NET_F_MAC | VIRTIO_NET_F_STATUS | (mtu ? VIRTIO_NET_F_MTU : 0);
	id.queues = 2;
	id.config_bytes = sizeof(NetConfig);
	id.ats = ats;
	return id;
}

} // namespace

VirtioNet::VirtioNet(Machine &machine_, Knobs &knobs_, Upstream &upstream, const std::string &name_,
		     SourceId source_, const MacAddress &mac, uint16_t mtu, bool ats)
	: Virtio(machine_, knobs_, upstream, name_, identity(source_, mtu, ats))
{
	NetConfig net = {};

	memcpy(net.mac, mac.data(), mac.size());
	net.status = VIRTIO_NET_S_LINK_UP;
	net.max_virtqueue_pairs = 1;
	net.mtu = mtu;
	memcpy(config.data(), &net, sizeof(net));
	add_net_knobs();
}

void VirtioNet::add_net_knobs()
{
	auto set = [this](const std::string &text) -> std::string {
		if (text != "0" && text != "1")
			return "0 or 1 is needed";
		set_link(text == "1");
		return "";
	};

	knobs.add(name + ".link", [this] { return link ? "1" : "0"; }, set);
	knobs.add(name + ".rx", [this] { return std::to_string(received); });
	knobs.add(name + ".tx", [this] { return std::to_string(sent); });
	knobs.add(name + ".dropped", [this] { return std::to_string(dropped); });
}

void VirtioNet::set_backend(NetBackend *new_backend)
{
	backend = new_backend;
}

void VirtioNet::set_link(bool up)
{
	uint16_t net_status = up ? VIRTIO_NET_S_LINK_UP : 0;

	if (up == link)
		return;
	link = up;
	change_config(offsetof(NetConfig, status), &net_status, sizeof(net_status));
}

void VirtioNet::receive(const uint8_t *frame, unsigned bytes)
{
	NetHeader header = {};
	VirtqueueChain chain;

	if (bytes < MIN_FRAME || bytes > MAX_FRAME || !link || !take(RECEIVEQ, chain)) {
		dropped++;
		return;
	}
	header.num_buffers = 1;
	Virtqueue &q = queue(RECEIVEQ);
	if (chain.writable_bytes() < sizeof(header) + bytes ||
	    !q.write(chain, 0, &header, sizeof(header)) ||
	    !q.write(chain, sizeof(header), frame, bytes)) {
		bad++;
		dropped++;
		put(RECEIVEQ, chain, 0);
	} else {
		received++;
		put(RECEIVEQ, chain, sizeof(header) + bytes);
	}
	interrupt(RECEIVEQ);
}

void VirtioNet::notified(unsigned index)
{
	VirtqueueChain chain;
	bool used = false;

	if (index != TRANSMITQ)
		return; /* new buffers: the next frame finds them */
	while (take(TRANSMITQ, chain)) {
		transmit(chain);
		put(TRANSMITQ, chain, 0);
		used = true;
	}
	if (used)
		interrupt(TRANSMITQ);
}

void VirtioNet::stopped()
{
}

/* Without offloads a header asks for nothing (5.1.6.2). */
void VirtioNet::transmit(const VirtqueueChain &chain)
{
	uint64_t bytes = chain.readable_bytes();
	NetHeader header;

	if (bytes < sizeof(header) + MIN_FRAME || bytes > sizeof(header) + MAX_FRAME ||
	    !queue(TRANSMITQ).read(chain, 0, &header, sizeof(header)) || header.flags ||
	    header.gso_type) {
		bad++;
		return;
	}
	std::vector<uint8_t> frame(bytes - sizeof(header));
	if (!queue(TRANSMITQ).read(chain, sizeof(header), frame.data(), frame.size())) {
		bad++;
		return;
	}
	if (!link) {
		dropped++;
		return;
	}
	sent++;
	if (backend)
		backend->send(frame.data(), frame.size());
}

} // namespace bochs
