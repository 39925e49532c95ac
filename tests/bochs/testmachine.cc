/* The memory, the clock and the timers of host tests. */
#include <bochs/testmachine.h>

#include <algorithm>
#include <cassert>
#include <cstring>

namespace bochs
{

class TestMachine::TestTimer : public Timer
{
      public:
	TestTimer(TestMachine &of, std::function<void()> call)
		: machine(of), expired(std::move(call))
	{
		machine.timers.push_back(this);
	}

	~TestTimer() override
	{
		auto &all = machine.timers;
		all.erase(std::remove(all.begin(), all.end(), this), all.end());
	}

	void set(uint64_t nanoseconds) override
	{
		time = machine.clock + nanoseconds;
		order = machine.timers_set++;
	}

	void cancel() override
	{
		time = UINT64_MAX;
	}

	TestMachine &machine;
	std::function<void()> expired;
	uint64_t time = UINT64_MAX, order = 0;
};

TestMachine::~TestMachine()
{
	assert(timers.empty());
}

void TestMachine::read(uint64_t address, void *to, unsigned bytes)
{
	auto *out = static_cast<uint8_t *>(to);

	for (unsigned i = 0; i < bytes; i++, address++) {
		auto page = pages.find(address >> 12);
		out[i] = page == pages.end() ? 0 : page->second[address & 0xfff];
	}
}

void TestMachine::write(uint64_t address, const void *from, unsigned bytes)
{
	auto *in = static_cast<const uint8_t *>(from);

	for (unsigned i = 0; i < bytes; i++, address++)
		pages[address >> 12][address & 0xfff] = in[i];
}

void TestMachine::interrupt(const Interrupt &interrupt)
{
	interrupts.push_back(interrupt);
}

uint64_t TestMachine::now()
{
	return clock;
}

std::unique_ptr<Timer> TestMachine::timer(const char *, std::function<void()> expired)
{
	return std::make_unique<TestTimer>(*this, std::move(expired));
}

void TestMachine::log(const std::string &line)
{
	lines.push_back(line);
}

uint64_t TestMachine::next_expiry() const
{
	uint64_t next = UINT64_MAX;

	for (const TestTimer *timer : timers)
		next = std::min(next, timer->time);
	return next;
}

void TestMachine::advance(uint64_t nanoseconds)
{
	uint64_t end = clock + nanoseconds;

	for (;;) {
		TestTimer *first = nullptr;
		for (TestTimer *timer : timers) {
			if (timer->time > end)
				continue;
			if (!first || timer->time < first->time ||
			    (timer->time == first->time && timer->order < first->order))
				first = timer;
		}
		if (!first)
			break;
		clock = first->time;
		first->cancel();
		/* A copy: the function may destroy its timer. */
		std::function<void()> call = first->expired;
		call();
	}
	clock = end;
}

void TestMachine::write64(uint64_t address, uint64_t value)
{
	write(address, &value, sizeof(value));
}

void TestMachine::write32(uint64_t address, uint32_t value)
{
	write(address, &value, sizeof(value));
}

uint32_t TestMachine::read32(uint64_t address)
{
	uint32_t value = 0;

	read(address, &value, sizeof(value));
	return value;
}

bool TestMachine::logged(const std::string &text) const
{
	for (const std::string &line : lines)
		if (line.find(text) != std::string::npos)
			return true;
	return false;
}

} // namespace bochs
