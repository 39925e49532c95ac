/* A guest's NMIs: masked, waiting, injected. APM volume 2, 8.2.3; SDM volume 3, 6.7.1. */
#pragma once

#include <kernel/guest/vcpu/svm/svm.h>

/* The exceptions that always exit. #DB and #AC are intercepted because their delivery can loop
 * forever within one instruction (CVE-2015-8104, CVE-2015-5307). A machine check concerns the
 * machine, not the guest. */
#define INTERCEPTED_EXCEPTIONS (1u << EXC_DB | 1u << EXC_AC | 1u << EXC_MC)

/* Before an entry, when EVENTINJ has what an exit interrupted or raised: inject a waiting NMI, or
 * prepare to be asked again as soon as it can be injected. */
void svm_nmi_before_entry(struct vcpu *v);
/* The guest is about to execute an IRET, and NMIs are masked. */
void svm_nmi_iret(struct vcpu *v);
/* After a single step: undo what svm_nmi_before_entry() has done for it. True: the exit was the
 * step's, and has been handled. Before anything else. */
bool svm_nmi_after_exit(struct vcpu *v);
/* No NMI is in service: the state after INIT. */
void svm_nmi_reset(struct vcpu *v);
