/* A domain that is started again: it keeps its id, its memory and its devices, and finds them as at its first start. */
#pragma once

#include <kernel/lib/compiler.h>
#include <kernel/lib/step.h>

struct domain;

/* So many within this time, and one more ends the domain. */
#define RESTARTS_MAX 5u
#define RESTARTS_WINDOW_S 60u

enum restart_stage { RESTART_DEVICES_GO, RESTART_MEMORY, RESTART_DEVICES_COME, RESTART_LOAD };

struct restart {
	enum restart_stage stage;
	gfn_t gfn; /* so far its memory is renewed */
	u64 loaded; /* bytes of its files */
	u32 nr; /* restarts */
	u64 at_ns[RESTARTS_MAX]; /* of the last ones */
};

/* The guest wants it: start it again, or end it, if its line says restart=never or it does that too often. `why` and `status`
 * are for the log. Any context, any number of times. */
void domain_reboot(struct domain *d, const char *why, u64 status);
/* A vCPU cannot go on (`what` happened to it): the same if its line says restart=fault, else domain_crash(). */
void domain_fault(struct domain *d, u32 vcpu, const char *what, u64 rip);
/* All vCPUs of d, which is RESTARTING, are stopped: one bounded step on the way to its start. A step of work: true when nothing is
 * to be done before the timer wakes it. */
enum step restart_step(struct domain *d);
