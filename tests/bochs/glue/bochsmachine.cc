/* See bochsmachine.h. */
#include <bochs/glue/bochsmachine.h>

#include <bochs/glue/bochsheaders.h>
#include <bochs/glue/pieces.h>

extern bool apic_bus_deliver_interrupt(Bit8u vector, Bit32u dest, Bit8u delivery_mode,
				       bool logical_dest, bool level, bool trig_mode);

namespace bochs
{

static constexpr unsigned page_bytes = 4096;

static logfunctions &bochs_log()
{
	static logfunctions *functions;

	if (!functions) {
		functions = new logfunctions;
		functions->put("weir", "WEIR");
	}
	return *functions;
}

static unsigned bytes_in_page(uint64_t address, unsigned bytes)
{
	unsigned in_page = page_bytes - address % page_bytes;

	return bytes < in_page ? bytes : in_page;
}

/* Bochs has a list of handlers for each megabyte up to this, and does not check the address. */
static bool is_beyond(uint64_t address)
{
	return address >> BX_PHY_ADDRESS_WIDTH;
}

BochsMachine::BochsMachine()
{
	bochs_timer = bx_pc_system.register_timer(this, bochs_timer_expired, 1, false, false,
						  "weir");
}

BochsMachine::~BochsMachine() = default;

/* Memory is copied by page. A register is accessed as a processor does, or reading one byte of it
 * after the other would read it several times. */
void BochsMachine::read(uint64_t address, void *to, unsigned bytes)
{
	uint8_t *at = static_cast<uint8_t *>(to);

	while (bytes) {
		unsigned part = bytes_in_page(address, bytes);
		if (is_beyond(address)) {
			memset(at, 0xff, part);
		} else if (BX_MEM(0)->getHostMemAddr(nullptr, address, BX_READ)) {
			BX_MEM(0)->dmaReadPhysicalPage(address, part, at);
		} else {
			part = piece(address, part);
			BX_MEM(0)->readPhysicalPage(nullptr, address, part, at);
		}
		address += part, at += part, bytes -= part;
	}
}

void BochsMachine::write(uint64_t address, const void *from, unsigned bytes)
{
	const uint8_t *at = static_cast<const uint8_t *>(from);

	while (bytes) {
		unsigned part = bytes_in_page(address, bytes);
		Bit8u *data = const_cast<Bit8u *>(at);
		if (is_beyond(address)) {
			/* Nothing is there. */
		} else if (BX_MEM(0)->getHostMemAddr(nullptr, address, BX_WRITE)) {
			BX_MEM(0)->dmaWritePhysicalPage(address, part, data);
		} else {
			part = piece(address, part);
			BX_MEM(0)->writePhysicalPage(nullptr, address, part, data);
		}
		address += part, at += part, bytes -= part;
	}
}

void BochsMachine::interrupt(const Interrupt &interrupt)
{
	apic_bus_deliver_interrupt(interrupt.vector, interrupt.destination, interrupt.delivery_mode,
				   interrupt.logical, true, interrupt.level);
}

uint64_t BochsMachine::now()
{
	return bx_pc_system.time_nsec();
}

void BochsMachine::log(const std::string &line)
{
	bochs_log().info("%s", line.c_str());
}

class BochsMachine::BochsTimer : public Timer
{
      public:
	BochsTimer(BochsMachine &owner, std::function<void()> function)
		: expired(std::move(function)), machine(owner), at(owner.waiting.end())
	{
	}
	~BochsTimer() override
	{
		cancel();
	}
	void set(uint64_t nanoseconds) override
	{
		uint64_t now = machine.now();

		cancel();
		at = machine.waiting.emplace(nanoseconds < UINT64_MAX - now ? now + nanoseconds :
									      UINT64_MAX,
					     this);
		machine.arm();
	}
	void cancel() override
	{
		if (at != machine.waiting.end())
			machine.waiting.erase(at);
		at = machine.waiting.end();
	}

	const std::function<void()> expired;

      private:
	BochsMachine &machine;
	std::multimap<uint64_t, BochsTimer *>::iterator at;
};

std::unique_ptr<Timer> BochsMachine::timer(const char *, std::function<void()> expired)
{
	return std::make_unique<BochsTimer>(*this, std::move(expired));
}

void BochsMachine::arm()
{
	/* What Bochs converts to ticks must fit into a double, and a tick must pass. */
	constexpr uint64_t longest = 1000000000, shortest = 10;

	if (expiring || waiting.empty())
		return;
	uint64_t first = waiting.begin()->first, time = now();
	uint64_t left = first > time ? first - time : 0;
	left = left < shortest ? shortest : left > longest ? longest : left;
	bx_pc_system.activate_timer_nsec(bochs_timer, left, false);
}

/* A timer that sets itself again for no time at all must not stop the machine's time. */
void BochsMachine::expire()
{
	constexpr unsigned most_at_once = 1000;
	uint64_t time = now();

	expiring = true;
	for (unsigned i = 0; i < most_at_once; i++) {
		if (waiting.empty() || waiting.begin()->first > time)
			break;
		BochsTimer *timer = waiting.begin()->second;
		timer->cancel();
		timer->expired();
	}
	expiring = false;
	arm();
}

void BochsMachine::bochs_timer_expired(void *machine)
{
	static_cast<BochsMachine *>(machine)->expire();
}

} // namespace bochs
