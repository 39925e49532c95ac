/* The global command and status registers, and the pointers that commands latch (VT-d, sections
 * 11.4.4 and 11.4.5). */
#pragma once

#include <bochs/unit/queue.h>

namespace bochs
{

/* GCMD_REG and GSTS_REG (11.4.4.1, 11.4.4.2) */
constexpr uint32_t GCMD_TE = UINT32_C(1) << 31, GCMD_SRTP = UINT32_C(1) << 30,
		   GCMD_SFL = UINT32_C(1) << 29, GCMD_EAFL = UINT32_C(1) << 28,
		   GCMD_WBF = UINT32_C(1) << 27, GCMD_QIE = UINT32_C(1) << 26,
		   GCMD_IRE = UINT32_C(1) << 25, GCMD_SIRTP = UINT32_C(1) << 24,
		   GCMD_CFI = UINT32_C(1) << 23;

class Commands
{
      public:
	Commands(Core &core, Queue &queue, Faults &faults);
	void reset();
	/* A setting that held a command up has changed. */
	void resume();

      private:
	void written();
	void perform();
	void latch_root();
	void latch_interrupts();
	void switch_levels();

	Core &core;
	Queue &queue;
	Faults &faults;
	std::unique_ptr<Timer> timer;
	uint32_t one_shots = 0; /* that are not performed yet */
	uint32_t wanted = 0; /* the switches as software wants them */
	bool busy = false;
	bool root_latched = false, interrupts_latched = false;
};

} // namespace bochs
