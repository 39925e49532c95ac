/* What Weir does against speculation across the borders between guests, and between a guest and
 * Weir. docs/threat-model.md has the table, with what is not done. */
#pragma once

#include <kernel/lib/compiler.h>

/* mitigations=off: do nothing. Boot, before the first speculation_cpu_init(). */
void speculation_off(void);
/* Switch on what the calling CPU offers. Each CPU, at boot, before it runs a guest. */
void speculation_cpu_init(void);
/* The calling CPU is about to run another domain's vCPU: no branch prediction of the last one is
 * used from here on. */
void speculation_change_domain(void);
/* Fill the return stack buffer after each exit (svm/run.asm). */
extern bool speculation_fill_rsb;
