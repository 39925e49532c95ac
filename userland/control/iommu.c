/* The commands iommu show, iommu unit and iommu stats. */
#include <stdlib.h>
#include <string.h>
#include "shell.h"

#define NUMBER_DIGITS 18 /* a 64-bit number in hexadecimal, with the 0x */

bool parse_number(const char *text, u64 *n)
{
	char *end;

	*n = strtoul(text, &end, 0);
	if (!*end && end != text && strlen(text) <= NUMBER_DIGITS)
		return true;
	print("\"%s\": not a number; write it in decimal, or in hexadecimal with 0x\n", text);
	return false;
}

static const char *leaf_size(u32 level)
{
	return level == 1 ? "4K" : level == 2 ? "2M" : "1G";
}

static void print_page(const struct weir_walk *w)
{
	u32 level = w->top_level + 1 - w->nr_entries;

	print("  %s, %s: machine address 0x%lx\n",
	      w->result == WEIR_WALK_WAITS ? "unmapped, waiting for its release" :
	      w->readable && w->writable   ? "read and write" :
	      w->readable		   ? "read only" :
					     "write only",
	      leaf_size(level), w->page);
	if (w->page_type[0])
		print("  page: type %s%s, owner %s, dev_tlb references: %u on the page, %u on "
		      "blocks that contain it\n",
		      w->page_type, w->references || w->block_references ? " (now dev_tlb)" : "",
		      w->page_owner <= 64 ? domain_name(w->page_owner) : "-", w->references,
		      w->block_references);
	else
		print("  page: not RAM\n");
}

void iommu_show_command(int argc, char **argv)
{
	struct weir_device_info d;
	struct weir_walk w;
	u64 address;
	s64 ret;

	(void)argc;
	if (!find_device(argv[0], &d) || !parse_number(argv[1], &address))
		return;
	ret = hypercall(WEIR_HC_IOMMU_WALK, d.device, address, (u64)&w);
	if (ret) {
		print("\"%s\": cannot walk its tables (error %ld)\n", argv[0], -ret);
		return;
	}
	if (w.result == WEIR_WALK_NOBODYS) {
		print("  all accesses of %s are blocked: it is %s\n", argv[0],
		      d.state == WEIR_DEVICE_QUARANTINED ? "quarantined" : "not attached");
		return;
	}
	for (u32 i = 0; i < w.nr_entries; i++)
		print("  level %u entry %016lx\n", w.top_level - i, w.entry[i]);
	if (!w.nr_entries)
		print("  the address is beyond the width of the domain's tables\n");
	else if (w.result == WEIR_WALK_EMPTY)
		print("  nothing is mapped there\n");
	else
		print_page(&w);
}

void iommu_unit_command(int argc, char **argv)
{
	struct weir_unit_stats s;
	u64 unit;

	(void)argc;
	if (!parse_number(argv[0], &unit))
		return;
	if (hypercall(WEIR_HC_UNIT_STATS, unit, (u64)&s, sizeof(s)) <= 0) {
		print("\"%s\": no such unit; the first is 0\n", argv[0]);
		return;
	}
	print("  registers at 0x%lx, CAP %016lx, ECAP %016lx, %s\n", s.base, s.cap, s.ecap,
	      s.works ? "works" : "does not work: its devices cannot be attached");
	print("  devices attached %lu, interrupt entries %lu\n", s.devices, s.interrupt_entries);
	print("  queue: %lu requests posted, %lu completed, %lu waiting for room; %lu completion "
	      "interrupts\n",
	      s.requests_posted, s.requests_completed, s.requests_waiting, s.completion_interrupts);
	print("  queue errors %lu, faults %lu; faults were lost %lu times\n", s.queue_errors,
	      s.faults, s.fault_overflows);
}

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
	print("  pages held for release: %lu, at most %lu; batches: %lu posted, %lu completed, %lu "
	      "in flight\n",
	      s.pages_held, s.pages_held_max, s.batches_posted, s.batches_completed,
	      s.batches_in_flight);
	print("  invalidations: %lu posted, %lu completed (IOTLB %lu, device TLB %lu, context "
	      "%lu)\n",
	      s.invalidations_posted, s.invalidations_completed, s.iotlb_invalidations,
	      s.device_tlb_invalidations, s.context_invalidations);
	if (s.batches_completed)
		print_latency(s.latency);
	print("  faults %lu, devices quarantined %lu\n", s.io_faults, s.devices_quarantined);
}
