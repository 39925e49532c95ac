/* Records faults in a ring of registers, and tells software. */
#include <bochs/unit/faults.h>

#include <bochs/unit/capabilities.h>

namespace bochs
{

namespace
{

constexpr uint64_t FSTS_ERRORS = FSTS_IQE | FSTS_ICE | FSTS_ITE;
constexpr uint64_t FSTS_ANY = FSTS_PFO | FSTS_PPF | FSTS_ERRORS;
constexpr unsigned FSTS_FRI_SHIFT = 8;
constexpr uint64_t FSTS_FRI = UINT64_C(0xff) << FSTS_FRI_SHIFT;
/* The upper half of FRCD_REG (11.4.7.6) */
constexpr uint64_t FRCD_F = UINT64_C(1) << 63;
constexpr uint64_t FRCD_READ = UINT64_C(1) << 62; /* T1 */
constexpr unsigned FRCD_AT_SHIFT = 60;
constexpr unsigned FRCD_FR_SHIFT = 32;

} // namespace

Faults::Faults(Core &the_core) : event(the_core, FECTL_REG), core(the_core)
{
	Registers::Register about;

	about.cleared = FSTS_PFO | FSTS_ERRORS;
	about.sticky = FSTS_ANY | FSTS_FRI;
	about.written = [this](uint64_t before) { status_written(before); };
	core.registers.define(FSTS_REG, about);

	for (unsigned i = 0; i < core.features.fault_records; i++) {
		about = {};
		about.bytes = 8;
		about.sticky = UINT64_MAX;
		core.registers.define(offset(i), about);
		about.cleared = FRCD_F;
		about.written = [this](uint64_t) { record_cleared(); };
		core.registers.define(offset(i) + 8, about);
	}
}

unsigned Faults::offset(unsigned index) const
{
	return fault_recording_offset(core.features) + 16 * index;
}

bool Faults::full(unsigned index) const
{
	return core.registers.get(offset(index) + 8) & FRCD_F;
}

uint64_t Faults::status() const
{
	return core.registers.get(FSTS_REG);
}

void Faults::restart()
{
	next = 0;
}

/* A status bit is a new interrupt condition only if none was set before (11.4.7.2, IP). */
void Faults::raise(uint64_t bits)
{
	uint64_t before = status();

	core.registers.set(FSTS_REG, before | bits);
	if (!(before & FSTS_ANY))
		event.raise();
}

void Faults::error(uint64_t bits)
{
	raise(bits);
}

bool Faults::compressed(SourceId source) const
{
	if (!core.settings.compress)
		return false;
	for (unsigned i = 0; i < core.features.fault_records; i++)
		if (full(i) && (core.registers.get(offset(i) + 8) & 0xffff) == source)
			return true;
	return false;
}

/* 7.2.1: in this order. */
void Faults::record(SourceId source, const Verdict &verdict, bool write, AddressType type)
{
	if (verdict.silent)
		return;
	if (status() & FSTS_PFO) {
		lost++;
		return;
	}
	if (compressed(source)) {
		lost++;
		return;
	}
	if (full(next)) {
		lost++;
		raise(FSTS_PFO);
		return;
	}

	uint64_t upper = FRCD_F | source | uint64_t(verdict.reason) << FRCD_FR_SHIFT;
	upper |= uint64_t(type) << FRCD_AT_SHIFT;
	if (!write)
		upper |= FRCD_READ;
	core.registers.set(offset(next), verdict.info);
	core.registers.set(offset(next) + 8, upper);
	recorded++;

	/* FRI names the record that set PPF, and stays until PPF is clear. */
	if (!(status() & FSTS_PPF)) {
		uint64_t others = status() & ~FSTS_FRI;
		core.registers.set(FSTS_REG, others | uint64_t(next) << FSTS_FRI_SHIFT);
	}
	next = (next + 1) % core.features.fault_records;
	raise(FSTS_PPF);
}

/* PPF is the OR of all F bits. */
void Faults::record_cleared()
{
	for (unsigned i = 0; i < core.features.fault_records; i++)
		if (full(i))
			return;
	core.registers.set(FSTS_REG, status() & ~FSTS_PPF);
	if (!(status() & FSTS_ANY))
		event.serviced();
}

void Faults::status_written(uint64_t before)
{
	uint64_t gone = before & ~status();

	if (!(status() & FSTS_ANY))
		event.serviced();
	if ((gone & FSTS_ERRORS) && errors_cleared)
		errors_cleared();
}

} // namespace bochs
