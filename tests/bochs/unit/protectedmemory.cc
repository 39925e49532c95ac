/* PMEN and the limits of the two regions. */
#include <bochs/unit/protectedmemory.h>

namespace bochs
{

namespace
{

constexpr uint64_t PMEN_EPM = UINT64_C(1) << 31, PMEN_PRS = 1;
/* The unit compares addresses from this bit on: 2 MiB. */
constexpr uint64_t GRANULE = UINT64_C(1) << 21;

} // namespace

ProtectedMemory::ProtectedMemory(Core &the_core)
	: core(the_core), timer(the_core.machine.timer("protected memory", [this] { perform(); }))
{
	Registers::Register about;

	if (!core.features.protected_memory)
		return;
	about.writable = PMEN_EPM;
	about.written = [this](uint64_t) { resume(); };
	core.registers.define(PMEN_REG, about);
	for (unsigned offset : { PLMBASE_REG, PLMLIMIT_REG, PHMBASE_REG, PHMLIMIT_REG }) {
		about.bytes = offset >= PHMBASE_REG ? 8 : 4;
		about.writable = ~(GRANULE - 1);
		if (about.bytes == 4)
			about.writable &= 0xffffffff;
		about.written = [this, offset](uint64_t before) { range_written(offset, before); };
		core.registers.define(offset, about);
	}
}

void ProtectedMemory::reset()
{
	timer->cancel();
}

void ProtectedMemory::range_written(unsigned offset, uint64_t before)
{
	if (core.registers.get(offset) != before && (core.registers.get(PMEN_REG) & PMEN_PRS))
		core.misuse("a protected range is changed while it is protected");
}

void ProtectedMemory::resume()
{
	if (!core.features.protected_memory || core.settings.hang == Hang::gcmd)
		return;
	if (core.settings.delay_command)
		timer->set(core.settings.delay_command);
	else
		perform();
}

void ProtectedMemory::perform()
{
	bool on = core.registers.get(PMEN_REG) & PMEN_EPM;

	if (core.settings.hang == Hang::gcmd || on == core.tables.protecting)
		return;
	core.tables.protecting = on;
	core.tables.protected_ranges[0].first = core.registers.get(PLMBASE_REG);
	core.tables.protected_ranges[0].last = core.registers.get(PLMLIMIT_REG) | (GRANULE - 1);
	core.tables.protected_ranges[1].first = core.registers.get(PHMBASE_REG);
	core.tables.protected_ranges[1].last = core.registers.get(PHMLIMIT_REG) | (GRANULE - 1);
	core.registers.set(PMEN_REG, (on ? PMEN_EPM : 0) | (on ? PMEN_PRS : 0));
}

} // namespace bochs
