/* The machine that Bochs emulates: memory, time, and the interrupt bus of its processors. */
#pragma once

#include <bochs/machine.h>
#include <map>

namespace bochs
{

class BochsMachine : public Machine
{
      public:
	BochsMachine();
	~BochsMachine() override;

	void read(uint64_t address, void *to, unsigned bytes) override;
	void write(uint64_t address, const void *from, unsigned bytes) override;
	void interrupt(const Interrupt &interrupt) override;
	uint64_t now() override;
	std::unique_ptr<Timer> timer(const char *name, std::function<void()> expired) override;
	void log(const std::string &line) override;

      private:
	class BochsTimer;
	/* Bochs has few timers: all of ours share one of them. */
	std::multimap<uint64_t, BochsTimer *> waiting; /* by the time at which they expire */
	int bochs_timer;
	bool expiring = false;

	void arm();
	void expire();
	static void bochs_timer_expired(void *machine);
};

} // namespace bochs
