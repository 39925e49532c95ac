/* Dispatch of SVM's exit codes. */
#pragma once

struct vcpu;

/* Handle the exit that v's VMCB describes; the handler for sched_enter() on AMD's CPUs. */
void svm_handle_exit(struct vcpu *v);
