/* The protected memory regions (VT-d, section 11.4.8). */
#pragma once

#include <bochs/unit/core.h>

namespace bochs
{

class ProtectedMemory
{
      public:
	explicit ProtectedMemory(Core &core);
	void reset();
	/* A setting that held a command up has changed. */
	void resume();

      private:
	void perform();
	void range_written(unsigned offset, uint64_t before);

	Core &core;
	std::unique_ptr<Timer> timer;
};

} // namespace bochs
