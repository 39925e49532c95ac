/* Address space ids, which keep the TLB entries of vCPUs apart. APM volume 2, 15.16.1. */
#pragma once

#include <kernel/guest/vcpu/svm/svm.h>

/* Before an entry: give the vCPU an ASID of this CPU, the one it had if nothing must be flushed. */
void svm_assign_asid(struct svm_vcpu *s, struct svm_cpu *cpu);
/* Before the next entry, the TLB entries of the vCPU's ASID must go. */
static inline void svm_flush_asid(struct svm_vcpu *s)
{
	s->asid_cpu = NULL;
}
