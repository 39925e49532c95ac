/* SVM's exit codes. */
#pragma once

struct vcpu;

/* Handle the exit that v's VMCB describes: what sched_enter() wants on an AMD machine. */
void svm_handle_exit(struct vcpu *v);
