/* A virtio network device (VIRTIO 1.2, 5.1): one receive and one transmit queue, no offloads, no
 * control queue. It receives every frame that its backend has for it. */
#pragma once

#include <array>
#include <bochs/devices/virtio.h>

namespace bochs
{

/* Where frames go that the guest sends. A frame is from its destination address on, without the
 * check sequence. */
class NetBackend
{
      public:
	virtual ~NetBackend() = default;
	virtual void send(const uint8_t *frame, unsigned bytes) = 0;
};

using MacAddress = std::array<uint8_t, 6>;

class VirtioNet : public Virtio
{
      public:
	/* mtu 0: the device does not say one. */
	VirtioNet(Machine &machine, Knobs &knobs, Upstream &upstream, const std::string &name,
		  SourceId source, const MacAddress &mac, uint16_t mtu = 0, bool ats = false);

	/* nullptr, as at first: what the guest sends is counted and forgotten. */
	void set_backend(NetBackend *backend);
	/* A frame for the guest. Dropped if it has no buffer, or the link is down. */
	void receive(const uint8_t *frame, unsigned bytes);

	static constexpr unsigned RECEIVEQ = 0;
	static constexpr unsigned TRANSMITQ = 1;

      private:
	NetBackend *backend = nullptr;
	bool link = true;
	uint64_t received = 0, sent = 0, dropped = 0;

	void add_net_knobs();
	void set_link(bool up);
	void notified(unsigned queue) override;
	void stopped() override;
	void transmit(const VirtqueueChain &chain);
};

} // namespace bochs
