/* GCMD, GSTS, RTADDR and IRTA: each command is shown in the status when it is done. */
#include <bochs/unit/commands.h>

namespace bochs
{

namespace
{

constexpr uint32_t ONE_SHOTS = GCMD_SRTP | GCMD_SFL | GCMD_WBF | GCMD_SIRTP;
constexpr uint32_t SWITCHES = GCMD_TE | GCMD_EAFL | GCMD_QIE | GCMD_IRE | GCMD_CFI;
constexpr uint64_t FRAME = ~UINT64_C(0xfff);
constexpr uint64_t RTADDR_TTM = 3 << 10;
constexpr uint64_t IRTA_EIME = 1 << 11;
constexpr uint64_t IRTA_S = 15;

} // namespace

Commands::Commands(Core &the_core, Queue &the_queue, Faults &the_faults)
	: core(the_core), queue(the_queue), faults(the_faults),
	  timer(the_core.machine.timer("command", [this] { perform(); }))
{
	Registers::Register about;

	core.registers.define(GSTS_REG, about);
	about.writable = 0xffffffff;
	about.written = [this](uint64_t) { written(); };
	core.registers.define(GCMD_REG, about);

	about = {};
	about.bytes = 8;
	about.writable = FRAME | RTADDR_TTM;
	core.registers.define(RTADDR_REG, about);
	if (!core.features.remap_interrupts)
		return;
	about.writable = FRAME | IRTA_S;
	if (core.features.extended_interrupts)
		about.writable |= IRTA_EIME;
	core.registers.define(IRTA_REG, about);
}

void Commands::reset()
{
	timer->cancel();
	one_shots = wanted = 0;
	busy = root_latched = interrupts_latched = false;
}

void Commands::written()
{
	uint32_t value = core.registers.get(GCMD_REG);
	uint32_t status = core.registers.get(GSTS_REG);
	uint32_t switched = (value ^ wanted) & SWITCHES;
	uint32_t offered = GCMD_TE | GCMD_SRTP | GCMD_QIE;

	core.registers.set(GCMD_REG, 0); /* it is only to be written */
	if (busy)
		core.misuse("GCMD is written before GSTS has shown the command before");
	if (__builtin_popcount((value & ONE_SHOTS) | switched) > 1)
		core.misuse("GCMD is written with more than one command");
	if (core.features.remap_interrupts)
		offered |= GCMD_IRE | GCMD_SIRTP | GCMD_CFI;
	if (core.features.write_buffer_flush)
		offered |= GCMD_WBF;
	if (((value & ONE_SHOTS) | switched) & ~offered & ~GCMD_WBF)
		core.misuse("GCMD has a command that the unit does not offer");

	wanted = value & SWITCHES & offered;
	one_shots |= value & ONE_SHOTS & offered;
	if (!one_shots && !(switched & offered))
		return;
	/* The status of a pointer is clear, and that of a flush set, until it is done. */
	status &= ~(one_shots & (GCMD_SRTP | GCMD_SIRTP));
	core.registers.set(GSTS_REG, status | (one_shots & GCMD_WBF));
	busy = true;
	resume();
}

void Commands::resume()
{
	if (!busy || core.settings.hang == Hang::gcmd)
		return;
	if (core.settings.delay_command)
		timer->set(core.settings.delay_command);
	else
		perform();
}

void Commands::perform()
{
	if (!busy || core.settings.hang == Hang::gcmd)
		return;
	busy = false;
	if (one_shots & GCMD_SRTP)
		latch_root();
	if (one_shots & GCMD_SIRTP)
		latch_interrupts();

	uint32_t status = core.registers.get(GSTS_REG);
	status |= one_shots & (GCMD_SRTP | GCMD_SIRTP);
	status &= ~(one_shots & GCMD_WBF);
	one_shots = 0;
	core.registers.set(GSTS_REG, status);
	switch_levels();
}

void Commands::latch_root()
{
	uint64_t root = core.registers.get(RTADDR_REG);

	if (root & RTADDR_TTM)
		core.misuse("RTADDR.TTM is not that of legacy mode");
	core.tables.root = root & FRAME;
	root_latched = true;
	core.translator.root_changed();
}

void Commands::latch_interrupts()
{
	uint64_t table = core.registers.get(IRTA_REG);

	core.tables.interrupts = table & FRAME;
	core.tables.interrupt_entries = UINT64_C(2) << (table & IRTA_S);
	core.tables.extended = table & IRTA_EIME;
	interrupts_latched = true;
	core.translator.interrupt_table_changed();
}

void Commands::switch_levels()
{
	uint32_t status = core.registers.get(GSTS_REG);
	uint32_t on = wanted & ~status, off = status & SWITCHES & ~wanted;

	if ((on & GCMD_TE) && !root_latched)
		core.misuse("TE is set without a root table");
	if ((on & GCMD_IRE) && !interrupts_latched)
		core.misuse("IRE is set without an interrupt remapping table");
	core.tables.translating = wanted & GCMD_TE;
	core.tables.remapping = wanted & GCMD_IRE;
	core.tables.compatibility = wanted & GCMD_CFI;
	core.registers.set(GSTS_REG, (status & ~SWITCHES) | wanted);
	if ((on | off) & GCMD_QIE)
		queue.enable(wanted & GCMD_QIE);
	/* 7.2.1: the index of the records starts again. */
	if ((off & (GCMD_TE | GCMD_IRE)) && !(wanted & (GCMD_TE | GCMD_IRE)))
		faults.restart();
}

} // namespace bochs
