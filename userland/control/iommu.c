/* Looking into the IOMMU core. */
#include "shell.h"

static void print_latency(const u64 *bucket)
{
	print("  from commit to the last answer:");
	for (u32 i = 0; i < WEIR_LATENCY_BUCKETS; i++)
		if (bucket[i])
			print("  %s%u us: %lu", i == WEIR_LATENCY_BUCKETS - 1 ? ">=" : "<",
			      i == WEIR_LATENCY_BUCKETS - 1 ? 1u << (i - 1) : 1u << i, bucket[i]);
	print("\n");
}

void iommu_stats_command(int argc, char **argv)
{
	struct weir_domain_info d;
	struct weir_stats s;

	(void)argc;
	if (!find_domain(argv[0], &d))
		return;
	if (hypercall(WEIR_HC_DOMAIN_STATS, d.id, (u64)&s, sizeof(s)) < 0) {
		print("\"%s\": this domain has just ended\n", argv[0]);
		return;
	}
	print("  entries: %lu of 4K, %lu of 2M, %lu of 1G, in %lu tables; %lu dev_tlb references\n",
	      s.io_entries[0], s.io_entries[1], s.io_entries[2], s.io_tables, s.io_references);
	print("  splits %lu, collapses %lu, tables freed %lu\n", s.io_splits, s.io_collapses,
	      s.io_tables_freed);
	print("  pages held for release: %lu, at most %lu; batches: %lu posted, %lu completed, %lu under way\n",
	      s.pages_held, s.pages_held_max, s.batches_posted, s.batches_completed,
	      s.batches_in_flight);
	print("  invalidations: %lu posted, %lu completed (IOTLB %lu, device TLB %lu, context %lu)\n",
	      s.invalidations_posted, s.invalidations_completed, s.iotlb_invalidations,
	      s.device_tlb_invalidations, s.context_invalidations);
	if (s.batches_completed)
		print_latency(s.latency);
	print("  faults %lu, devices cut off %lu\n", s.io_faults, s.devices_cut_off);
}
