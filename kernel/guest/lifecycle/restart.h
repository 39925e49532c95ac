/* A domain that is started again: it keeps its id, its memory and its devices, and finds them as at its first start. */
#pragma once

#include <kernel/lib/step.h>

struct domain;

/* All vCPUs of d, which is RESTARTING, are stopped: one bounded step on the way to its start. STEP_WAIT: the timer calls
 * again. */
enum step restart_step(struct domain *d);
