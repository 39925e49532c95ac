/* sources: tests/bochs/testmachine.cc tests/bochs/virtiodriver.cc tests/bochs/knobs.cc
 * sources: tests/bochs/devices/socketnet.cc tests/bochs/devices/virtionet.cc
 * sources: tests/bochs/devices/virtio.cc tests/bochs/devices/virtqueue.cc
 * sources: tests/bochs/devices/function.cc tests/bochs/devices/configspace.cc
 * sources: tests/bochs/devices/msi.cc tests/bochs/devices/devicetlb.cc */
/* Frames between a test and the network device, as datagrams of a unix socket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

extern "C" {
#include <cmocka.h>
}

#include <bochs/devices/socketnet.h>
#include <bochs/virtionetbench.h>

using namespace bochs;

static constexpr uint64_t INTERVAL = 100000;

namespace
{

/* The test's end, in a directory of its own. */
struct Peer {
	char directory[32] = "/tmp/socketnetXXXXXX";
	std::string here, there;
	int file;

	Peer()
	{
		sockaddr_un own = {};

		assert_non_null(mkdtemp(directory));
		here = std::string(directory) + "/test";
		there = std::string(directory) + "/net0";
		own.sun_family = AF_UNIX;
		strcpy(own.sun_path, here.c_str());
		file = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
		assert_return_code(bind(file, reinterpret_cast<sockaddr *>(&own), sizeof(own)), 0);
	}
	~Peer()
	{
		close(file);
		unlink(here.c_str());
		rmdir(directory);
	}
	void send(const void *frame, unsigned bytes)
	{
		sockaddr_un to = {};

		to.sun_family = AF_UNIX;
		strcpy(to.sun_path, there.c_str());
		assert_int_equal(sendto(file, frame, bytes, 0, reinterpret_cast<sockaddr *>(&to),
					sizeof(to)),
				 bytes);
	}
	ssize_t receive(void *to, unsigned bytes)
	{
		return recv(file, to, bytes, 0);
	}
};

struct Bench : public NetBench {
	Peer peer;
	SocketNet socket{ machine, knobs, "net0", net };

	Bench()
	{
		assert_string_equal(socket.open(peer.there).c_str(), "");
		start();
	}
};

} // namespace

static void a_datagram_is_a_frame_for_the_guest(void **)
{
	Bench b;
	uint32_t head, length;
	char got[20];

	b.driver.add(b.rx, { { BUFFER, 2048, true } });
	b.peer.send("0123456789abcdefghij", 20);
	assert_false(b.driver.used(b.rx, head, length));
	b.machine.advance(INTERVAL);
	assert_true(b.driver.used(b.rx, head, length));
	assert_int_equal(length, HEADER + 20);
	b.machine.read(BUFFER + HEADER, got, 20);
	assert_memory_equal(got, "0123456789abcdefghij", 20);
}

static void a_frame_of_the_guest_goes_to_the_last_sender(void **)
{
	Bench b;
	char got[100];

	b.peer.send("", 0); /* says only who is there */
	b.machine.advance(INTERVAL);
	b.expect("dropped", "0");
	b.machine.write(BUFFER + HEADER, "0123456789abcdefghij", 20);
	b.transmit_frame(BUFFER, 20);
	assert_int_equal(b.peer.receive(got, sizeof(got)), 20);
	assert_memory_equal(got, "0123456789abcdefghij", 20);
	b.expect("socket.lost", "0");
}

static void a_frame_to_nobody_is_lost(void **)
{
	Bench b;

	b.transmit_frame(BUFFER, 20);
	b.expect("socket.lost", "1");
	b.expect("tx", "1");
}

static void a_peer_that_does_not_read_stops_nothing(void **)
{
	Bench b;
	char frame[1500];

	b.peer.send("", 0);
	b.machine.advance(INTERVAL);
	for (unsigned i = 0; i < 2000; i++)
		b.socket.send(reinterpret_cast<uint8_t *>(frame), sizeof(frame));
	std::string lost = b.knob("socket.lost");
	assert_string_not_equal(lost.c_str(), "0");
	assert_int_equal(b.peer.receive(frame, sizeof(frame)), sizeof(frame));
}

static void the_interval_is_a_knob(void **)
{
	Bench b;

	assert_string_not_equal(b.knobs.set("net0.socket.interval", "0").c_str(), "");
	assert_string_equal(b.knobs.set("net0.socket.interval", "700000").c_str(), "");
	b.machine.advance(INTERVAL);
	b.peer.send("0123456789abcdefghij", 20);
	b.machine.advance(600000);
	b.expect("dropped", "0");
	b.machine.advance(100000);
	b.expect("dropped", "1");
}

static void a_path_in_use_or_too_long_is_named(void **)
{
	Bench b;
	Knobs knobs;
	SocketNet second(b.machine, knobs, "net1", b.net);

	assert_non_null(strstr(second.open(b.peer.there).c_str(), "in use"));
	assert_non_null(strstr(second.open(std::string(200, 'x')).c_str(), "too long"));
}

#define CASE(name) cmocka_unit_test(name)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_datagram_is_a_frame_for_the_guest),
		CASE(a_frame_of_the_guest_goes_to_the_last_sender),
		CASE(a_frame_to_nobody_is_lost),
		CASE(a_peer_that_does_not_read_stops_nothing),
		CASE(the_interval_is_a_knob),
		CASE(a_path_in_use_or_too_long_is_named),
	};

	return cmocka_run_group_tests(tests, nullptr, nullptr);
}
