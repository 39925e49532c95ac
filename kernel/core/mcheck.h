/* Machine checks: what the processor reports about errors of the hardware (SDM vol. 3, chapter 16;
 * APM vol. 2, chapter 9). */
#pragma once

#include <kernel/lib/compiler.h>

/* What an error leaves behind. */
enum mcheck {
	MCHECK_GOES_ON, /* nothing that was running is affected */
	MCHECK_CONTEXT_LOST, /* what was running on this CPU cannot go on */
	MCHECK_FATAL, /* the processor cannot go on */
};

/* The calling CPU: have errors reported, and report what an earlier system has left. */
void mcheck_init_cpu(void);
/* After a machine-check exception: read and clear this CPU's banks, and allow the next exception.
 * Takes no lock and logs nothing: mcheck_report() does. */
enum mcheck mcheck_collect(void);
/* Log what this CPU has collected. Any context except NMI and exceptions of the hypervisor. A panic
 * may call it anywhere: no domain is looked up then. */
void mcheck_report(bool in_panic);
/* Look for corrected errors on this CPU from now on, every 10 s, and count them. The timers run. */
void mcheck_poll(void);
/* What names the domain with this id, if there is one. Boot. */
void mcheck_set_owner_hook(void (*describe)(u16 owner, char *text, size_t size));
