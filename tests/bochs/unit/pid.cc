/* A posted interrupt sets a bit of its descriptor, and notifies if it is the first. */
#include <bochs/unit/pid.h>

#include <bochs/unit/faultreason.h>

namespace bochs
{

static constexpr unsigned descriptor_bytes = 64, control_word = 4;
/* In the word that follows the 256 bits of PIR. */
static constexpr uint64_t outstanding = 1, suppress = 2;
static constexpr uint64_t control_reserved = bits(15, 2) | bits(31, 24);

uint8_t post_interrupt(Environment &environment, uint64_t address, uint8_t vector, bool urgent,
		       bool &notify, Interrupt &notification)
{
	uint64_t words[descriptor_bytes / 8] = {};
	uint64_t &control = words[control_word];
	uint64_t destination;

	/* These accesses are always coherent, whatever ECAP.C says. Nothing else of the machine
	 * runs between them, so that the update is atomic. */
	environment.machine.read(address, words, sizeof(words));
	if (control & control_reserved)
		return reason_descriptor_reserved;
	words[vector / 64] |= uint64_t(1) << vector % 64;
	notify = !(control & outstanding) && (urgent || !(control & suppress));
	if (notify)
		control |= outstanding;
	environment.machine.write(address, words, (control_word + 1) * 8);
	environment.shadow.written_back(address, descriptor_bytes);
	destination = field(control, 63, 32);
	/* Without x2APIC the destination is in bits 15:8 of NDST. */
	notification.destination = uint32_t(
		environment.tables.extended ? destination : field(destination, 15, 8));
	notification.vector = uint8_t(field(control, 23, 16));
	notification.delivery_mode = 0;
	notification.logical = false;
	notification.level = false;
	return reason_none;
}

} // namespace bochs
