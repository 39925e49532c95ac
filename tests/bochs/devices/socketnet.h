/* A network by datagrams of a unix socket, one for each Ethernet frame: a test sends frames to the
 * guest and gets what the guest sends. It never waits; a frame that does not fit into the socket's
 * buffer is lost and counted, as on a wire. */
#pragma once

#include <string>
#include <bochs/devices/virtionet.h>

namespace bochs
{

class SocketNet : public NetBackend
{
      public:
	/* Knobs NAME.socket.lost and NAME.socket.interval, in ns of the machine's time. */
	SocketNet(Machine &machine, Knobs &knobs, const std::string &name, VirtioNet &device);
	~SocketNet() override;

	/* Bind to this path, which must be free. Frames go to the sender of the last datagram; an
	 * empty one is no frame and only says who it is. Empty: it is open. Else what is wrong. */
	std::string open(const std::string &path);
	void send(const uint8_t *frame, unsigned bytes) override;

      private:
	SocketNet(const SocketNet &) = delete;
	SocketNet &operator=(const SocketNet &) = delete;

	void poll();
	bool receive_one();

	VirtioNet &device;
	std::unique_ptr<Timer> timer;
	int file = -1;
	std::string own_path, peer; /* `peer` as an address's bytes */
	uint64_t interval = 100000, lost = 0;
};

} // namespace bochs
