/* Bochs' built-in network of one machine behind a translation of addresses (slirp), as the backend
 * of our network device. Ports of the host can be forwarded to the guest. */
#pragma once

#include <bochs/devices/virtionet.h>
#include <memory>
#include <string>
#include <vector>

namespace bochs
{

class Slirp : public NetBackend
{
      public:
	/* forwards: "tcp:PORT:GUESTPORT" or "udp:...", from 127.0.0.1 of the host. */
	Slirp(VirtioNet &device, const MacAddress &mac);
	~Slirp() override;
	/* Empty: it is connected. Else what is wrong. */
	std::string connect(const std::vector<std::string> &forwards);
	void send(const uint8_t *frame, unsigned bytes) override;
	/* When Bochs reads its configuration: the parameters that its network modules look at. */
	static void add_parameters();
	static void remove_parameters();

      private:
	struct Inside;
	std::unique_ptr<Inside> inside;
};

} // namespace bochs
