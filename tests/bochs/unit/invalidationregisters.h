/* Invalidation by registers: CCMD_REG, IVA_REG and IOTLB_REG (VT-d, sections 6.5.1 and 11.4.6). */
#pragma once

#include <bochs/unit/core.h>

namespace bochs
{

class InvalidationRegisters
{
      public:
	explicit InvalidationRegisters(Core &core);
	void reset();
	/* A setting that held a command up has changed. */
	void resume();

      private:
	void define_context();
	void define_iotlb();
	/* True: software has just asked for it, and may. */
	bool asked(const char *what, unsigned offset, uint64_t before);
	void start(Timer &timer, void (InvalidationRegisters::*perform)());
	void context();
	void iotlb();

	Core &core;
	std::unique_ptr<Timer> context_timer, iotlb_timer;
};

} // namespace bochs
