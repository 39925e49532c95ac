/* Units that die in random programs: their registers read as all ones, they take no descriptors and
 * report nothing, but what they have cached stays, and their devices can use it.
 *
 * A unit that has died holds up the domains with devices behind it, for ever; the others must not
 * notice. So that a program can go on, the unit comes back after a while, which no real one does.
 * Then all that it has held must be released.
 */
#pragma once

#include <tests/model/shadow.h>

/* From now on units die, or none does any more. */
void deaths_start(bool die);
/* A unit may die now. */
void deaths_strike(void);
/* A unit has died, and shall come back now. */
bool deaths_end_now(void);
/* A unit has died: what must hold meanwhile holds; then it comes back. `settle` waits until
 * nothing is in flight, and checks what the program can. */
void deaths_end(void (*settle)(void));

/* The domain waits for a unit that has died. */
bool deaths_hold(const struct model_domain *m);
/* The device is behind a unit that has died. */
bool deaths_reach(unsigned int device);
/* Weir knows that the device's unit has died. */
bool deaths_noticed(unsigned int device);
/* The device may be attached to the domain. */
bool deaths_allow(const struct model_domain *m, unsigned int device);
/* The core was asked to attach the device to the domain. */
void deaths_attached(const struct model_domain *m, unsigned int device);
