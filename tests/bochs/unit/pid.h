/* Posted-interrupt descriptors (VT-d, 5.2.4 and 9.11): 64 bytes that tell which interrupts are
 * pending, and whom to notify. */
#pragma once

#include <bochs/unit/environment.h>

namespace bochs
{

/* Posts `vector` into the descriptor at `address`. `notify` is set, with the interrupt, if there is
 * a notification to send. Returns the reason of a fault, or 0. */
uint8_t post_interrupt(Environment &environment, uint64_t address, uint8_t vector, bool urgent,
		       bool &notify, Interrupt &notification);

} // namespace bochs
