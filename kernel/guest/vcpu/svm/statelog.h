/* Logs a vCPU's state. */
#pragma once

#include <kernel/guest/vcpu/svm/svm.h>

/* See struct vcpu_backend. */
void svm_log_state(const struct vcpu *v);
