/* The socket: looked at by a timer, so that the machine's time decides. */
#include <bochs/devices/socketnet.h>

#include <cerrno>
#include <cstring>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace bochs
{

namespace
{

constexpr unsigned MAX_FRAME = 65550;
/* No more at one time: the guest runs in between. */
constexpr unsigned MOST_AT_ONCE = 64;

} // namespace

SocketNet::SocketNet(Machine &machine, Knobs &knobs, const std::string &name, VirtioNet &device_)
	: device(device_), timer(machine.timer((name + ".socket").c_str(), [this] { poll(); }))
{
	knobs.add(name + ".socket.lost", [this] { return std::to_string(lost); });
	knobs.add(
		name + ".socket.interval", [this] { return std::to_string(interval); },
		[this](const std::string &text) {
			uint64_t value;

			if (!parse_number(text, value) || !value)
				return "a number of nanoseconds, not 0, is needed";
			interval = value;
			return "";
		});
}

SocketNet::~SocketNet()
{
	if (file < 0)
		return;
	close(file);
	unlink(own_path.c_str());
}

std::string SocketNet::open(const std::string &path)
{
	sockaddr_un address = {};

	if (path.size() >= sizeof(address.sun_path))
		return path + ": the path is too long for a socket";
	address.sun_family = AF_UNIX;
	memcpy(address.sun_path, path.c_str(), path.size() + 1);
	int fresh = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fresh < 0)
		return path + ": " + strerror(errno);
	if (bind(fresh, reinterpret_cast<sockaddr *>(&address), sizeof(address)) < 0) {
		std::string wrong = path + ": " + strerror(errno);
		close(fresh);
		return wrong;
	}
	file = fresh;
	own_path = path;
	device.set_backend(this);
	timer->set(interval);
	return "";
}

void SocketNet::send(const uint8_t *frame, unsigned bytes)
{
	if (peer.empty() ||
	    sendto(file, frame, bytes, MSG_DONTWAIT | MSG_NOSIGNAL,
		   reinterpret_cast<const sockaddr *>(peer.data()), (socklen_t)peer.size()) < 0)
		lost++;
}

void SocketNet::poll()
{
	for (unsigned n = 0; n < MOST_AT_ONCE && receive_one(); n++)
		;
	timer->set(interval);
}

/* One byte more than the longest frame, so that a longer one is not cut to that size but seen and
 * dropped by the device. */
bool SocketNet::receive_one()
{
	uint8_t frame[MAX_FRAME + 1];
	sockaddr_un from = {};
	socklen_t length = sizeof(from);
	ssize_t bytes = recvfrom(file, frame, sizeof(frame), MSG_DONTWAIT,
				 reinterpret_cast<sockaddr *>(&from), &length);

	if (bytes < 0)
		return false;
	/* A sender without a path cannot be answered. */
	if (length > sizeof(sa_family_t))
		peer.assign(reinterpret_cast<const char *>(&from), length);
	if (bytes)
		device.receive(frame, (unsigned)bytes);
	return true;
}

} // namespace bochs
