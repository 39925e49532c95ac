/* Entering a guest with SVM. */
#pragma once

struct vcpu;

/* Enter the guest once; returns after the exit. On the vCPU's own CPU. */
void svm_enter(struct vcpu *v);
