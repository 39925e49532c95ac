/* Invalidation without the queue: a command takes its time, then its bit is clear. */
#include <bochs/unit/invalidationregisters.h>

#include <bochs/unit/capabilities.h>
#include <bochs/unit/commands.h>

namespace bochs
{

namespace
{

constexpr uint64_t ASKED = UINT64_C(1) << 63; /* CCMD.ICC, IOTLB.IVT */
constexpr unsigned CIRG_SHIFT = 61, CAIG_SHIFT = 59; /* CCMD */
constexpr unsigned IIRG_SHIFT = 60, IAIG_SHIFT = 57; /* IOTLB */
constexpr uint64_t DRAINS = UINT64_C(3) << 48; /* IOTLB.DR, DW */

bool granularity(uint64_t value, Granularity &out)
{
	out = value == 1 ? Granularity::global :
	      value == 2 ? Granularity::domain :
			   Granularity::selective;
	return value != 0;
}

} // namespace

InvalidationRegisters::InvalidationRegisters(Core &the_core)
	: core(the_core), context_timer(the_core.machine.timer("CCMD", [this] { context(); })),
	  iotlb_timer(the_core.machine.timer("IOTLB", [this] { iotlb(); }))
{
	define_context();
	define_iotlb();
}

void InvalidationRegisters::define_context()
{
	Registers::Register about;

	about.bytes = 8;
	about.writable = ASKED | UINT64_C(3) << CIRG_SHIFT | UINT64_C(0x3ffffffff);
	about.written = [this](uint64_t before) {
		if (asked("CCMD", CCMD_REG, before))
			start(*context_timer, &InvalidationRegisters::context);
	};
	core.registers.define(CCMD_REG, about);
}

void InvalidationRegisters::define_iotlb()
{
	Registers::Register about;

	about.bytes = 8;
	about.writable = ~UINT64_C(0xf80); /* AM, IH, ADDR */
	core.registers.define(iotlb_offset(), about);
	about.writable = ASKED | UINT64_C(3) << IIRG_SHIFT | DRAINS | UINT64_C(0xffff) << 32;
	about.written = [this](uint64_t before) {
		if (asked("IOTLB_REG", iotlb_offset() + 8, before))
			start(*iotlb_timer, &InvalidationRegisters::iotlb);
	};
	core.registers.define(iotlb_offset() + 8, about);
}

void InvalidationRegisters::reset()
{
	context_timer->cancel();
	iotlb_timer->cancel();
}

bool InvalidationRegisters::asked(const char *what, unsigned offset, uint64_t before)
{
	bool now = core.registers.get(offset) & ASKED;

	if (before & ASKED) {
		core.misuse(std::string(what) + " is written before it has done its last command");
		core.registers.set(offset, before);
		return false;
	}
	if (now && (core.registers.get(GSTS_REG) & GCMD_QIE))
		core.misuse(std::string(what) + " is used while the queue is enabled");
	return now;
}

void InvalidationRegisters::start(Timer &timer, void (InvalidationRegisters::*perform)())
{
	if (core.settings.hang == Hang::gcmd)
		return;
	if (core.settings.delay_command)
		timer.set(core.settings.delay_command);
	else
		(this->*perform)();
}

void InvalidationRegisters::resume()
{
	if (core.registers.get(CCMD_REG) & ASKED)
		start(*context_timer, &InvalidationRegisters::context);
	if (core.registers.get(iotlb_offset() + 8) & ASKED)
		start(*iotlb_timer, &InvalidationRegisters::iotlb);
}

/* CAIG says what was done: 0 if the request was no good (11.4.6.1). */
void InvalidationRegisters::context()
{
	uint64_t command = core.registers.get(CCMD_REG);
	uint64_t requested = command >> CIRG_SHIFT & 3;
	Granularity kind;

	if (core.settings.hang == Hang::gcmd)
		return;
	if (granularity(requested, kind))
		core.translator.invalidate_context(kind, command & 0xffff, command >> 16 & 0xffff,
						   command >> 32 & 3);
	command &= ~(ASKED | UINT64_C(3) << CAIG_SHIFT);
	core.registers.set(CCMD_REG, command | requested << CAIG_SHIFT);
}

void InvalidationRegisters::iotlb()
{
	uint64_t command = core.registers.get(iotlb_offset() + 8);
	uint64_t where = core.registers.get(iotlb_offset());
	uint64_t actual = command >> IIRG_SHIFT & 3;
	Granularity kind;

	if (core.settings.hang == Hang::gcmd)
		return;
	/* Without page-selective invalidation, the next wider one is done. */
	if (actual == 3 && !core.features.page_selective)
		actual = 2;
	if (actual == 3 && (where & 0x3f) > core.features.mask)
		actual = 0;
	if (granularity(actual, kind))
		core.translator.invalidate_iotlb(kind, command >> 32 & 0xffff,
						 where & ~UINT64_C(0xfff), where & 0x3f,
						 where >> 6 & 1);
	command &= ~(ASKED | UINT64_C(3) << IAIG_SHIFT);
	core.registers.set(iotlb_offset() + 8, command | actual << IAIG_SHIFT);
}

} // namespace bochs
