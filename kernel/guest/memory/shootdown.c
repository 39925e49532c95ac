/* How CPUs answer a batch: the unmapping CPU posts a request, and the interrupt handler answers
 * it. */
#include <kernel/guest/memory/shootdown.h>

#include <iommu/iommu.h>
#include <kernel/core/irq.h>
#include <kernel/core/log.h>
#include <kernel/guest/memory/nested.h>
#include <kernel/lib/atomic.h>
#include <kernel/mm/alloc.h>

/* The batches waiting for each CPU, by batch number (below 2^11). A set bit is the request.
 * batch_of[] is written before the bit and stays valid, since the batch keeps its number until
 * every party has answered. */
#define BATCH_WORDS (2048 / 64)
static u64 (*requests)[BATCH_WORDS]; /* by CPU */
static struct iommu_batch *batch_of[2048];

/* Runs after the exit that this interrupt caused, so the vCPU has left guest mode. */
static void handle_shootdown(void *arg __unused)
{
	u64 *request = requests[this_cpu()->id];

	for (unsigned int w = 0; w < BATCH_WORDS; w++) {
		u64 bits = read_once(&request[w]) ? atomic_xchg(&request[w], 0UL) : 0;

		for (; bits; bits &= bits - 1)
			iommu_batch_answer(batch_of[64 * w + __builtin_ctzl(bits)]);
	}
}

static bool must_answer(const struct nested_tlb *t)
{
	return t->cpu != this_cpu()->id && read_once(&t->in_guest);
}

void shootdown_post(struct nested *n, struct iommu_gather *g)
{
	u32 number = iommu_gather_number(g);
	u64 asked[ALIGN_UP(MAX_CPUS, 64) / 64] = { 0 };

	assert_locked(&n->lock);
	smp_mb();
	for (u32 i = 0; i < n->nr_tlbs; i++) {
		u32 cpu;

		if (!must_answer(n->tlb[i]))
			continue;
		cpu = n->tlb[i]->cpu;
		if (asked[cpu / 64] & BIT(cpu % 64))
			continue;
		asked[cpu / 64] |= BIT(cpu % 64);
		batch_of[number] = iommu_gather_expect(g);
		atomic_or(&requests[cpu][number / 64], BIT(number % 64));
		irq_send(cpu, VECTOR_SHOOTDOWN);
	}
}

void shootdown_kick(struct nested *n)
{
	smp_mb();
	for (u32 i = 0; i < n->nr_tlbs; i++)
		if (must_answer(n->tlb[i]))
			irq_send(n->tlb[i]->cpu, VECTOR_KICK);
}

bool shootdown_done(struct nested *n, u64 generation)
{
	smp_mb();
	for (u32 i = 0; i < n->nr_tlbs; i++) {
		const struct nested_tlb *t = n->tlb[i];

		if (read_once(&t->in_guest) && read_once(&t->generation) < generation)
			return false;
	}
	return true;
}

bool shootdown_init(void)
{
	requests = kzalloc(nr_cpus * sizeof(*requests));
	if (!requests) {
		log_err("no memory for the CPUs' shoot-down requests");
		return false;
	}
	irq_set_fixed(VECTOR_SHOOTDOWN, handle_shootdown, NULL);
	return true;
}
