/* See control.h. */
#include <bochs/glue/control.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

namespace bochs
{

/* The machine's time flies while its processors halt, and each look costs the host a system call.
 * So there is a look each 100 us of the machine's time, but not more than one in 1 ms of the
 * host's. */
static constexpr uint64_t machine_interval = 100000;
static constexpr uint64_t host_interval = 1000000;
/* A client that asks and does not read is cut off. */
static constexpr size_t most_output = 1 << 20;

static uint64_t host_time()
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * UINT64_C(1000000000) + time.tv_nsec;
}

Control::Control(Machine &its_machine, Knobs &its_knobs, std::function<void()> its_quit)
	: machine(its_machine), knobs(its_knobs), memory(its_machine), quit(std::move(its_quit))
{
	timer = machine.timer("control socket", [this] { look(); });
}

Control::~Control()
{
	for (Client &client : clients)
		close(client.socket);
	if (listener >= 0) {
		close(listener);
		unlink(path.c_str());
	}
}

std::string Control::listen(const std::string &where)
{
	struct sockaddr_un address = {};

	address.sun_family = AF_UNIX;
	if (where.size() >= sizeof(address.sun_path))
		return "control=" + where + ": the path is too long for a socket";
	memcpy(address.sun_path, where.c_str(), where.size());
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (listener < 0 ||
	    bind(listener, reinterpret_cast<struct sockaddr *>(&address), sizeof(address)) ||
	    ::listen(listener, 8)) {
		std::string why = strerror(errno);
		if (listener >= 0)
			close(listener);
		listener = -1;
		return "control=" + where + ": " + why;
	}
	path = where;
	timer->set(machine_interval);
	return "";
}

void Control::look()
{
	uint64_t now = host_time();

	timer->set(machine_interval);
	if (now - looked < host_interval)
		return;
	looked = now;
	poll();
}

void Control::accept()
{
	int socket;

	while ((socket = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
		clients.push_back(Client{ socket, "", "", false });
}

void Control::poll()
{
	if (listener < 0)
		return;
	accept();
	for (Client &client : clients) {
		receive(client);
		take_lines(client);
		send(client);
	}
	auto gone = [](const Client &client) { return client.socket < 0; };
	clients.erase(std::remove_if(clients.begin(), clients.end(), gone), clients.end());
	if (ending)
		quit();
}

static void drop(int &socket)
{
	close(socket);
	socket = -1;
}

void Control::receive(Client &client)
{
	char bytes[4096];
	ssize_t got;

	/* Not without end, or a fast client would stop the machine. */
	for (unsigned i = 0; i < 16; i++) {
		got = recv(client.socket, bytes, sizeof(bytes), 0);
		if (got <= 0)
			break;
		client.input.append(bytes, got);
	}
	if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
		/* What came before the end is still done. */
		take_lines(client);
		send(client);
		if (client.socket >= 0)
			drop(client.socket);
	}
}

void Control::take_lines(Client &client)
{
	size_t start = 0, end;

	while ((end = client.input.find('\n', start)) != std::string::npos) {
		size_t bytes = end - start;
		if (client.skipping)
			client.skipping = false;
		else if (bytes > longest_line)
			client.output += "error: the line is longer than 4096 bytes\n";
		else
			client.output += answer(client.input.substr(start, bytes)) + "\n";
		start = end + 1;
	}
	client.input.erase(0, start);
	if (client.skipping) {
		client.input.clear();
	} else if (client.input.size() > longest_line) {
		client.output += "error: the line is longer than 4096 bytes\n";
		client.input.clear();
		client.skipping = true;
	}
}

void Control::send(Client &client)
{
	if (client.socket < 0)
		return;
	while (!client.output.empty()) {
		ssize_t sent = ::send(client.socket, client.output.data(), client.output.size(),
				      MSG_NOSIGNAL);
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0 && errno != EAGAIN)
			return drop(client.socket);
		if (sent <= 0)
			break;
		client.output.erase(0, sent);
	}
	if (client.output.size() > most_output)
		drop(client.socket);
}

static std::string one_line(std::string text)
{
	std::replace(text.begin(), text.end(), '\n', ' ');
	return text;
}

/* Cuts the first word off. */
static std::string take_word(std::string &text)
{
	size_t end = std::min(text.find(' '), text.size());
	std::string word = text.substr(0, end);

	text.erase(0, std::min(end + 1, text.size()));
	return word;
}

std::string Control::answer(const std::string &line)
{
	std::string rest = line, word = take_word(rest), value;

	if (word == "set") {
		std::string name = take_word(rest);
		std::string wrong = knobs.set(name, rest);
		return wrong.empty() ? "ok" : "error: " + one_line(wrong);
	}
	if (word == "get") {
		bool known = knobs.get(rest, value);
		return (known ? "ok " : "error: ") + one_line(value);
	}
	if (word == "names") {
		for (const std::string &name : knobs.names())
			value += " " + name;
		return "ok" + value;
	}
	if (word == "time")
		return "ok " + std::to_string(machine.now());
	if (word == "quit") {
		ending = true;
		return "ok";
	}
	std::string answer = memory.answer(word, rest);
	if (!answer.empty())
		return answer;
	return "error: \"" + word + "\" is not a request";
}

} // namespace bochs
