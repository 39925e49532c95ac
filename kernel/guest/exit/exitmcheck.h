/* Machine checks while a guest runs, and whose memory they concern. */
#pragma once

struct vcpu;

/* Machine checks name the domain in whose memory the error is. Boot. */
void exitmcheck_init(void);
/* A machine check ended the guest's run: the domain ends only if the guest cannot go on. */
void exit_machine_check(struct vcpu *v);
