/* See slirp.h. */
#include <bochs/glue/slirp.h>

#include <bochs/glue/bochsheaders.h>
#include <network/netmod.h>
#include <unistd.h>

namespace bochs
{

static constexpr const char *parameters = "weir";

/* Bochs gives its network modules an object of its log and hands it back with each frame. */
struct Slirp::Inside : public logfunctions {
	Inside(VirtioNet &its_device, const MacAddress &its_mac) : device(its_device), mac(its_mac)
	{
		put("weir net", "WNET");
	}
	VirtioNet &device;
	MacAddress mac;
	eth_pktmover_c *mover = nullptr;
	std::vector<uint8_t> sending;

	static void frame_came(void *netdev, const void *frame, unsigned bytes)
	{
		auto *inside = static_cast<Inside *>(static_cast<logfunctions *>(netdev));
		inside->device.receive(static_cast<const uint8_t *>(frame), bytes);
	}
};

static Bit32u receive_status(void *)
{
	return BX_NETDEV_RXREADY | BX_NETDEV_1GBIT;
}

void Slirp::add_parameters()
{
	bx_list_c *list = new bx_list_c(SIM->get_param("network"), parameters, "Weir's network");

	SIM->init_std_nic_options("Weir's network", list);
}

void Slirp::remove_parameters()
{
	static_cast<bx_list_c *>(SIM->get_param("network"))->remove(parameters);
}

Slirp::Slirp(VirtioNet &device, const MacAddress &mac)
	: inside(std::make_unique<Inside>(device, mac))
{
}

Slirp::~Slirp() = default;

/* "tcp:PORT:GUESTPORT" as Bochs' slirp wants it; empty: it is something else. */
static std::string forward_line(const std::string &forward)
{
	size_t first = forward.find(':'), second = forward.find(':', first + 1);
	uint64_t port, guest_port;

	if (first == std::string::npos || second == std::string::npos)
		return "";
	std::string kind = forward.substr(0, first);
	std::string host = forward.substr(first + 1, second - first - 1);
	std::string guest = forward.substr(second + 1);
	if ((kind != "tcp" && kind != "udp") || !parse_number(host, port) ||
	    !parse_number(guest, guest_port))
		return "";
	return "hostfwd=" + kind + ":127.0.0.1:" + host + "-:" + guest + "\n";
}

/* A file that Bochs' slirp reads while it starts. */
static std::string write_configuration(const std::string &text, std::string &path)
{
	char name[] = "/tmp/weir-slirp-XXXXXX";
	int file = mkstemp(name);

	if (file < 0)
		return std::string("net: no file for its configuration: ") + strerror(errno);
	path = name;
	bool whole = ::write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size());
	close(file);
	return whole ? "" : "net: its configuration cannot be written to " + path;
}

std::string Slirp::connect(const std::vector<std::string> &forwards)
{
	std::string text = "# slirp config\n", path, wrong;
	bx_list_c *list = static_cast<bx_list_c *>(SIM->get_param("network.weir"));

	for (const std::string &forward : forwards) {
		std::string line = forward_line(forward);
		if (line.empty())
			return "net.hostfwd=" + forward + ": tcp:PORT:GUESTPORT is needed, or udp:";
		text += line;
	}
	if (!SIM->get_param_enum("ethmod", list)->set_by_name("slirp"))
		return "net: this Bochs has no slirp among its plugins";
	wrong = write_configuration(text, path);
	if (!wrong.empty())
		return wrong;
	SIM->get_param_string("script", list)->set(path.c_str());
	memcpy(SIM->get_param_string("mac", list)->getptr(), inside->mac.data(),
	       inside->mac.size());
	inside->mover = DEV_net_init_module(list, Inside::frame_came, receive_status, inside.get());
	unlink(path.c_str());
	return inside->mover ? "" : "net: Bochs cannot start its slirp";
}

void Slirp::send(const uint8_t *frame, unsigned bytes)
{
	/* It is declared to take what it could change. */
	inside->sending.assign(frame, frame + bytes);
	if (inside->mover)
		inside->mover->sendpkt(inside->sending.data(), bytes);
}

} // namespace bochs
