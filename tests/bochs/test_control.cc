/* sources: tests/bochs/knobs.cc tests/bochs/testmachine.cc tests/bochs/glue/control.cc
 * sources: tests/bochs/glue/configuration.cc tests/bochs/glue/memoryview.cc */
/* The control socket, by a client's eyes; and the words of the configuration. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

extern "C" {
#include <cmocka.h>
}

#include <bochs/glue/configuration.h>
#include <bochs/glue/control.h>
#include <bochs/testmachine.h>
#include <cerrno>

using namespace bochs;

namespace
{

struct Fixture {
	TestMachine machine;
	Knobs knobs;
	uint64_t delay = 7;
	bool ended = false;
	std::string path = "/tmp/weir-test-control-" + std::to_string(getpid());
	Control control{ machine, knobs, [this] { ended = true; } };

	Fixture()
	{
		knobs.add("vtd0.delay", &delay);
		knobs.add("vtd0.name", [] { return std::string("two\nlines"); });
		assert_string_equal(control.listen(path).c_str(), "");
	}
	int connect()
	{
		int client = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
		struct sockaddr_un address = {};

		address.sun_family = AF_UNIX;
		memcpy(address.sun_path, path.c_str(), path.size());
		assert_int_equal(::connect(client, reinterpret_cast<struct sockaddr *>(&address),
					   sizeof(address)),
				 0);
		return client;
	}
	/* Sends, lets the machine look, and returns what has come. */
	std::string exchange(int client, const std::string &text)
	{
		char answer[65536];

		assert_int_equal(write(client, text.data(), text.size()), text.size());
		control.poll();
		ssize_t got = ::read(client, answer, sizeof(answer));
		return got > 0 ? std::string(answer, static_cast<size_t>(got)) : "";
	}
};

void expect(const std::string &answer, const char *wanted)
{
	assert_string_equal(answer.c_str(), wanted);
}

void requests_are_answered(void **)
{
	Fixture f;
	int client = f.connect();

	expect(f.exchange(client, "get vtd0.delay\n"), "ok 7\n");
	expect(f.exchange(client, "set vtd0.delay 0x10\n"), "ok\n");
	assert_int_equal(f.delay, 16);
	expect(f.exchange(client, "names\n"), "ok vtd0.delay vtd0.name\n");
	f.machine.advance(1234);
	expect(f.exchange(client, "time\n"), "ok 1234\n");
	expect(f.exchange(client, "get vtd0.name\n"), "ok two lines\n");
	close(client);
}

void memory_is_read_written_and_found(void **)
{
	Fixture f;
	int client = f.connect();

	expect(f.exchange(client, "poke 0x1ffe 01020304ff\n"), "ok\n");
	expect(f.exchange(client, "memory 0x1ffd 7\n"), "ok 0001020304ff00\n");
	/* Across the end of a page that was searched, and of the range. */
	expect(f.exchange(client, "find 020304 0x1000 0x2000\n"), "ok 8191\n");
	expect(f.exchange(client, "find 020304 0x1000 0x1001\n"), "ok none\n");
	expect(f.exchange(client, "find 020304 0x1ffe 4\n"), "ok 8191\n");
	expect(f.exchange(client, "find ff 0x1001 0x5000\n"), "ok 8194\n");
	for (const char *wrong :
	     { "memory\n", "memory 0 0\n", "memory 0 4097\n", "memory x 1\n", "poke 0 123\n",
	       "poke 0 zz\n", "poke 0\n", "find 01 0\n", "find 1 0 5\n" })
		assert_int_equal(f.exchange(client, wrong).rfind("error: ", 0), 0);
	assert_int_equal(f.exchange(client, "memory 0 4096\n").size(), 2 * 4096 + 4);
	close(client);
}

void mistakes_are_said(void **)
{
	Fixture f;
	int client = f.connect();

	assert_non_null(strstr(f.exchange(client, "set vtd0.delay blue\n").c_str(), "a number"));
	assert_int_equal(f.exchange(client, "get nothing\n").rfind("error: ", 0), 0);
	assert_int_equal(f.exchange(client, "set vtd0.name x\n").rfind("error: ", 0), 0);
	assert_int_equal(f.exchange(client, "\n").rfind("error: ", 0), 0);
	assert_int_equal(f.exchange(client, "what\n").rfind("error: \"what\"", 0), 0);
	assert_int_equal(f.delay, 7);
	close(client);
}

void lines_come_in_parts_and_together(void **)
{
	Fixture f;
	int client = f.connect();

	expect(f.exchange(client, "get vtd0."), "");
	expect(f.exchange(client, "delay\nset vtd0.delay 3\nget vtd0.delay\nge"),
	       "ok 7\nok\nok 3\n");
	expect(f.exchange(client, "t vtd0.delay\n"), "ok 3\n");
	close(client);
}

void a_long_line_is_refused_once(void **)
{
	Fixture f;
	int client = f.connect();
	const char *refused = "error: the line is longer than 4096 bytes\n";

	expect(f.exchange(client, std::string(Control::longest_line + 1, 'x')), refused);
	expect(f.exchange(client, std::string(5000, 'x')), "");
	expect(f.exchange(client, "x\nget vtd0.delay\n"), "ok 7\n");
	expect(f.exchange(client, std::string(5000, 'x') + "\nget vtd0.delay\n"),
	       (std::string(refused) + "ok 7\n").c_str());
	/* The longest line that may be. */
	assert_int_equal(f.exchange(client, std::string(Control::longest_line, 'x') + "\n")
				 .rfind("error: \"x", 0),
			 0);
	close(client);
}

void clients_do_not_disturb_each_other(void **)
{
	Fixture f;
	int one = f.connect(), other = f.connect(), silent = f.connect();

	expect(f.exchange(one, "get vtd0.delay\n"), "ok 7\n");
	expect(f.exchange(other, "set vtd0.delay 8\n"), "ok\n");
	/* It leaves without reading, after a last request. */
	assert_int_equal(write(silent, "set vtd0.delay 9\n", 17), 17);
	close(silent);
	expect(f.exchange(one, "get vtd0.delay\n"), "ok 8\n");
	expect(f.exchange(one, "get vtd0.delay\n"), "ok 9\n");
	close(one);
	expect(f.exchange(other, "get vtd0.delay\n"), "ok 9\n");
	close(other);
}

void a_client_that_does_not_read_is_cut_off(void **)
{
	Fixture f;
	int client = f.connect();
	std::string many;

	for (unsigned i = 0; i < 1000; i++)
		many += "names\n";
	for (unsigned i = 0; i < 2000; i++) {
		/* Fails once it is cut off. */
		if (send(client, many.data(), many.size(), MSG_NOSIGNAL) < 0 && errno != EAGAIN)
			break;
		f.control.poll();
		assert_int_not_equal(i, 1999);
	}
	close(client);
	client = f.connect();
	expect(f.exchange(client, "get vtd0.delay\n"), "ok 7\n");
	close(client);
}

void quit_ends_the_machine_after_its_answer(void **)
{
	Fixture f;
	int client = f.connect();

	assert_false(f.ended);
	expect(f.exchange(client, "quit\n"), "ok\n");
	assert_true(f.ended);
	close(client);
}

void a_timer_looks_after_it(void **)
{
	Fixture f;
	int client = f.connect();
	char answer[16];

	assert_int_equal(write(client, "get vtd0.delay\n", 15), 15);
	usleep(2000);
	f.machine.advance(1000000);
	assert_int_equal(::read(client, answer, sizeof(answer)), 5);
	assert_memory_equal(answer, "ok 7\n", 5);
	close(client);
}

void a_path_that_cannot_be_is_said(void **)
{
	TestMachine machine;
	Knobs knobs;
	Control control(machine, knobs, [] {});

	assert_non_null(strstr(control.listen("/nowhere/at/all").c_str(), "No such file"));
	assert_non_null(strstr(control.listen(std::string(200, 'x')).c_str(), "too long"));
	control.poll();
}

void words_of_the_configuration(void **)
{
	Configuration c;

	for (const char *word :
	     { "units=2", "edu=4", "edu3.acs=1", "edu0.ats=1", "net=1", "net.hostfwd=tcp:1:80",
	       "net.hostfwd=udp:2:7", "net.socket=/n", "scope1=00:06.0", "scope1=00:07.1",
	       "blk=/a=b", "control=/c", "vtd0.delay=5" })
		expect(c.take(word), "");
	assert_int_equal(c.units, 2);
	assert_int_equal(c.edu, 4);
	assert_true(c.edu_acs[3] && !c.edu_acs[2] && c.edu_ats[0] && c.net && !c.net_ats);
	assert_int_equal(c.forwards.size(), 2);
	assert_int_equal(c.below_unit_1.size(), 2);
	assert_int_equal(c.below_unit_1[1], 7 << 3 | 1);
	expect(c.blk, "/a=b");
	expect(c.net_socket, "/n");
	expect(c.control, "/c");
	assert_int_equal(c.knobs.size(), 1);
	expect(c.knobs[0].first, "vtd0.delay");
	expect(c.knobs[0].second, "5");
}

void words_that_are_wrong(void **)
{
	for (const char *word :
	     { "units", "units=0", "units=3", "units=x", "edu=9", "edu0.ats=2", "net=yes",
	       "scope1=5", "scope1=00:20.0", "scope1=00:05.8", "scope1=00:05.0x", "=1", "" }) {
		Configuration c;
		assert_int_equal(c.take(word).rfind("weir: ", 0), 0);
	}
}

} // namespace

int main()
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_are_answered),
		cmocka_unit_test(memory_is_read_written_and_found),
		cmocka_unit_test(mistakes_are_said),
		cmocka_unit_test(lines_come_in_parts_and_together),
		cmocka_unit_test(a_long_line_is_refused_once),
		cmocka_unit_test(clients_do_not_disturb_each_other),
		cmocka_unit_test(a_client_that_does_not_read_is_cut_off),
		cmocka_unit_test(quit_ends_the_machine_after_its_answer),
		cmocka_unit_test(a_timer_looks_after_it),
		cmocka_unit_test(a_path_that_cannot_be_is_said),
		cmocka_unit_test(words_of_the_configuration),
		cmocka_unit_test(words_that_are_wrong),
	};

	return cmocka_run_group_tests(tests, nullptr, nullptr);
}
