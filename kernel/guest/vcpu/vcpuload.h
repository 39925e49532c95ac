/* Between the scheduler and a vCPU. */
#pragma once

struct vcpu;

/* Make v's state the one in this CPU's registers; nothing is done if it is already. */
void vcpu_load(struct vcpu *v);
/* v will not run again: forget what is in the registers of it. */
void vcpu_unload(struct vcpu *v);
/* The state after power-on, of one that is new or dead; all but its place in the scheduler. */
void vcpu_reset(struct vcpu *v);
