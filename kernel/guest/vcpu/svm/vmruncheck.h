/* Why VMRUN refuses a guest's state. */
#pragma once

#include <kernel/guest/vcpu/svm/vmcb.h>

/* The first rule of APM vol. 2, 15.5.1, that the VMCB breaks. NULL: it is none of those that every
 * processor has. */
const char *svm_why_refused(const struct vmcb *c);
