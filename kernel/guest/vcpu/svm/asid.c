/* ASIDs. Each CPU hands out its own, in order, and none twice within a generation: so a new one has
 * no TLB entries, and flushing a vCPU's entries means giving it a new one. When they are used up,
 * the whole TLB is flushed once, and a new generation begins. */
#include <kernel/guest/vcpu/svm/asid.h>

void svm_assign_asid(struct svm_vcpu *s, struct svm_cpu *cpu)
{
	s->vmcb->tlb_control = TLB_CONTROL_NOTHING;
	if (!svm_asid_change(s, cpu))
		return;
	if (cpu->next_asid >= cpu->nr_asids) {
		cpu->asid_generation++;
		cpu->next_asid = 1;
		s->vmcb->tlb_control = TLB_CONTROL_FLUSH_ALL;
	}
	s->asid_generation = cpu->asid_generation;
	s->vmcb->asid = cpu->next_asid++;
}
