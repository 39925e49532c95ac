/* Into the guest and out again. */
#pragma once

struct vcpu;

/* Enter the guest once, until an exit. Its own CPU. */
void svm_enter(struct vcpu *v);
