/* Masks, the pending bit, and the message of an event. */
#include <bochs/unit/event.h>

namespace bochs
{

namespace
{

constexpr uint64_t INTERRUPT_MASK = UINT64_C(1) << 31; /* IM */
constexpr uint64_t INTERRUPT_PENDING = UINT64_C(1) << 30; /* IP */

} // namespace

Event::Event(Core &the_core, unsigned the_control) : core(the_core), control(the_control)
{
	Registers::Register about;

	about.reset = about.writable = INTERRUPT_MASK;
	about.written = [this](uint64_t) {
		uint64_t value = core.registers.get(control);
		if ((value & INTERRUPT_PENDING) && !(value & INTERRUPT_MASK))
			send();
	};
	core.registers.define(control, about);
	about = {};
	about.writable = 0xffff;
	core.registers.define(control + 4, about);
	about.writable = 0xfffffffc;
	core.registers.define(control + 8, about);
	about.writable = core.features.extended_interrupts ? 0xffffffff : 0;
	core.registers.define(control + 12, about);
}

void Event::raise()
{
	uint64_t value = core.registers.get(control);

	core.registers.set(control, value | INTERRUPT_PENDING);
	if (!(value & INTERRUPT_MASK))
		send();
}

void Event::serviced()
{
	core.registers.set(control, core.registers.get(control) & ~INTERRUPT_PENDING);
}

/* The unit's own messages are not remapped: the registers have the compatibility format, and in the
 * upper address the rest of an x2APIC id. */
void Event::send()
{
	uint64_t data = core.registers.get(control + 4);
	uint64_t address = core.registers.get(control + 8);
	uint64_t upper = core.registers.get(control + 12);
	Interrupt interrupt = {};

	serviced();
	if (address >> 20 != 0xfee) {
		core.misuse("an event is raised, but its address is no interrupt's");
		return;
	}
	interrupt.destination = (address >> 12 & 0xff) | (upper & 0xffffff00);
	interrupt.logical = address >> 2 & 1;
	interrupt.vector = data & 0xff;
	interrupt.delivery_mode = data >> 8 & 7;
	interrupt.level = data >> 15 & 1;
	sent++;
	core.machine.interrupt(interrupt);
}

} // namespace bochs
