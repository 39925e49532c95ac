/* An interrupt that the unit itself sends: the fault event, or the invalidation event. Control,
 * data, address and upper address are four registers in a row (VT-d, 11.4.7 and 11.4.9). */
#pragma once

#include <bochs/unit/core.h>

namespace bochs
{

class Event
{
      public:
	Event(Core &core, unsigned control);
	/* An interrupt condition: sent at once, or pending while it is masked. */
	void raise();
	/* Software has serviced all that the pending one was for. */
	void serviced();

	uint64_t sent = 0;

      private:
	void send();
	Core &core;
	const unsigned control;
};

} // namespace bochs
