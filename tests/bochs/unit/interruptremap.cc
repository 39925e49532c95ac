/* From a message to an interrupt entry, the checks of its source, and the interrupt. */
#include <bochs/unit/interruptremap.h>

#include <bochs/unit/faultreason.h>
#include <bochs/unit/pid.h>

namespace bochs
{

/* An address of a message in remappable format (5.1.2.2). */
static constexpr uint64_t remappable = 1 << 4, subhandle_valid = 1 << 3, handle_15 = 1 << 2;
/* An interrupt entry (9.10). */
static constexpr uint64_t present = 1, fault_processing_disable = 1 << 1, logical_mode = 1 << 2,
			  redirection_hint = 1 << 3, level_trigger = 1 << 4,
			  posted_urgent = 1 << 14, posted_mode = 1 << 15;
static constexpr uint8_t fixed = 0, lowest_priority = 1;

bool interrupt_entry_reserved(const Environment &environment, const InterruptEntry &entry)
{
	unsigned delivery = unsigned(field(entry.low, 7, 5));

	if (field(entry.high, 19, 18) == 3)
		return true;
	if (entry.low & posted_mode)
		return !environment.features.posted_interrupts ||
		       (entry.low & (bits(7, 2) | bits(13, 12) | bits(37, 24))) ||
		       (entry.high & bits(31, 20));
	if ((entry.low & (bits(14, 12) | bits(31, 24))) || (entry.high & bits(63, 20)))
		return true;
	/* Without x2APIC only bits 15:8 of DST have a meaning. */
	if (!environment.tables.extended && (entry.low & (bits(39, 32) | bits(63, 48))))
		return true;
	return delivery == 3 || delivery == 6;
}

/* SVT, SQ and SID */
static bool source_allowed(const InterruptEntry &entry, SourceId source)
{
	/* SQ: which bits of the function number are not compared. */
	static const SourceId ignored[] = { 0, 4, 6, 7 };
	SourceId wanted = SourceId(field(entry.high, 15, 0));
	unsigned bus = source >> 8;

	switch (field(entry.high, 19, 18)) {
	case 1:
		return ((source ^ wanted) & ~ignored[field(entry.high, 17, 16)] & 0xffff) == 0;
	case 2:
		return bus >= wanted >> 8 && bus <= (wanted & 0xffu);
	default:
		return true;
	}
}

/* With RH the interrupt goes to one of a logical destination's processors. */
static uint8_t hinted_mode(unsigned delivery, bool hint, bool logical)
{
	return hint && logical && delivery == fixed ? lowest_priority : uint8_t(delivery);
}

static Interrupt remapped(const Environment &environment, const InterruptEntry &entry)
{
	Interrupt interrupt = {};
	uint64_t destination = field(entry.low, 63, 32);

	interrupt.destination = uint32_t(environment.tables.extended ? destination :
								       field(destination, 15, 8));
	interrupt.vector = uint8_t(field(entry.low, 23, 16));
	interrupt.logical = entry.low & logical_mode;
	interrupt.level = entry.low & level_trigger;
	interrupt.delivery_mode = hinted_mode(unsigned(field(entry.low, 7, 5)),
					      entry.low & redirection_hint, interrupt.logical);
	return interrupt;
}

/* As the processor manual has it; the I/O APIC's requests look the same (5.1.2.1). */
static Interrupt compatible(uint64_t address, uint32_t data)
{
	Interrupt interrupt = {};

	interrupt.destination = uint32_t(field(address, 19, 12));
	interrupt.vector = uint8_t(data);
	interrupt.logical = address & 1 << 2;
	interrupt.level = data & 1 << 15;
	interrupt.delivery_mode = hinted_mode(unsigned(field(data, 10, 8)), address & 1 << 3,
					      interrupt.logical);
	return interrupt;
}

static bool post(Environment &environment, const InterruptEntry &entry, Interrupt &interrupt,
		 Verdict &verdict)
{
	uint64_t descriptor = field(entry.high, 63, 32) << 32 | field(entry.low, 63, 38) << 6;
	bool notify = false;

	verdict.reason = post_interrupt(environment, descriptor, uint8_t(field(entry.low, 23, 16)),
					entry.low & posted_urgent, notify, interrupt);
	return notify;
}

bool remap_message(Environment &environment, InterruptCache &cache, const Message &message,
		   Interrupt &interrupt, Verdict &verdict)
{
	uint64_t address = message.address;
	const Tables &tables = environment.tables;

	if (!tables.remapping ||
	    (!(address & remappable) && tables.compatibility && !tables.extended)) {
		interrupt = compatible(address, message.data);
		return true;
	}
	if (!(address & remappable)) {
		verdict.reason = reason_compatibility;
		return false;
	}
	uint32_t index = uint32_t(field(address, 19, 5) | (address & handle_15 ? 1 << 15 : 0));
	if (address & subhandle_valid) {
		if (message.data >> 16) {
			verdict.reason = reason_message_reserved;
			return false;
		}
		index += message.data;
	}
	verdict.info = uint64_t(index & 0xffff) << 48;
	if (index >= tables.interrupt_entries) {
		verdict.reason = reason_index;
		return false;
	}
	InterruptEntry entry = cache.look_up(uint16_t(index));
	verdict.silent = entry.low & fault_processing_disable;
	if (!(entry.low & present))
		verdict.reason = reason_entry_not_present;
	else if (!source_allowed(entry, message.source)) /* before the rest is looked at (5.1.4) */
		verdict.reason = reason_source;
	else if (interrupt_entry_reserved(environment, entry))
		verdict.reason = reason_entry_reserved;
	else if (entry.low & posted_mode)
		return post(environment, entry, interrupt, verdict);
	else
		interrupt = remapped(environment, entry);
	return verdict.reason == reason_none;
}

} // namespace bochs
