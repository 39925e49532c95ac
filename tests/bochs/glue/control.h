/* The socket by which a test sets and reads knobs while the machine runs. A line is a request:
 *   set NAME VALUE    get NAME    names    time (in nanoseconds)    quit
 * or one of memoryview.h. Its answer is a line, too: "ok", with what was asked for, or "error: "
 * and why. */
#pragma once

#include <bochs/glue/memoryview.h>
#include <bochs/knobs.h>
#include <bochs/machine.h>

namespace bochs
{

class Control
{
      public:
	/* quit: what ends the machine, after its answer was sent. */
	Control(Machine &machine, Knobs &knobs, std::function<void()> quit);
	~Control();
	Control(const Control &) = delete;
	Control &operator=(const Control &) = delete;

	/* Makes the socket, which a timer looks after. Empty: it listens. Else what is wrong. */
	std::string listen(const std::string &path);
	/* Takes what has come and sends what is due; never waits. */
	void poll();

	static constexpr size_t longest_line = 4096;

      private:
	struct Client {
		int socket;
		std::string input, output;
		bool skipping; /* the rest of a line that is too long */
	};

	std::string answer(const std::string &line);
	void receive(Client &client);
	void take_lines(Client &client);
	void send(Client &client);
	void accept();
	void look();

	Machine &machine;
	Knobs &knobs;
	MemoryView memory;
	const std::function<void()> quit;
	std::unique_ptr<Timer> timer;
	std::vector<Client> clients;
	std::string path;
	int listener = -1;
	uint64_t looked = 0;
	bool ending = false;
};

} // namespace bochs
