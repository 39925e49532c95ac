/* Address space ids, which keep the TLB entries of vCPUs apart. APM volume 2, 15.16.1. */
#pragma once

#include <kernel/guest/vcpu/svm/svm.h>

/* A CPU's first generation. No two CPUs have the same ones, so a vCPU's generation also tells whose
 * ASID it has. */
static inline u64 svm_first_asid_generation(u32 cpu)
{
	return ((u64)cpu << 48) + 1;
}

/* 0 if the vCPU has an ASID of this CPU, and nothing must be flushed. */
static inline u64 svm_asid_change(const struct svm_vcpu *s, const struct svm_cpu *cpu)
{
	return s->asid_generation ^ cpu->asid_generation;
}

/* Before an entry: give the vCPU an ASID of this CPU, the one it had if that is valid. */
void svm_assign_asid(struct svm_vcpu *s, struct svm_cpu *cpu);
/* Before the next entry, the TLB entries of the vCPU's ASID must go. The caller sets the vCPU's
 * `attention`, so that the entry looks. */
static inline void svm_flush_asid(struct svm_vcpu *s)
{
	s->asid_generation = 0;
}
