/* The restart of a domain: it keeps its id, memory and devices, and finds them as at its first
 * start. */
#pragma once

#include <kernel/lib/step.h>

struct domain;

/* Take one bounded step of the restart of d, which is RESTARTING and whose vCPUs are stopped.
 * STEP_WAIT: the timer calls again. */
enum step restart_step(struct domain *d);
