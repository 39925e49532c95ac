/* Counters of the network guest as JSON. */
#include "stats.h"

#include <lwip/memp.h>
#include <lwip/stats.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <kernel/abi/iommu.h>
#include "../lwip/heap.h"
#include "../lwip/netif.h"
#include "../runtime/runtime.h"
#include "release.h"

struct text {
	char *buf;
	size_t size, len;
};

static void add(struct text *t, const char *fmt, ...) __printf(2, 3);

static void add(struct text *t, const char *fmt, ...)
{
	va_list ap;

	if (t->len >= t->size)
		return;
	va_start(ap, fmt);
	t->len += (size_t)vsnprintf(t->buf + t->len, t->size - t->len, fmt, ap);
	va_end(ap);
	if (t->len >= t->size)
		t->len = t->size - 1;
}

const struct weir_stats *stats_weir(void)
{
	static struct weir_stats stats;

	if (!hypervisor_is_weir())
		return NULL;
	memset(&stats, 0, sizeof(stats)); /* members that this Weir does not know stay 0 */
	if (hypercall(WEIR_HC_STATS, (u64)&stats, sizeof(stats), 0) < 0)
		return NULL;
	stats.domain_name[sizeof(stats.domain_name) - 1] = 0;
	return &stats;
}

static void add_sizes(struct text *t, const char *name, const u64 *count)
{
	add(t, "\"%s\":{\"4k\":%lu,\"2m\":%lu,\"1g\":%lu},", name, count[0], count[1], count[2]);
}

static void add_weir(struct text *t, const struct weir_stats *s)
{
	static const char *const reason[] = {
		"interrupt", "interrupt_window", "cpuid", "msr",       "io",
		"mmio",	     "nested_fault",	 "hlt",	  "hypercall", "other"
	};
	static const char *const fault[] = { "write", "read",	   "context", "width",
					     "table", "interrupt", "other" };
	_Static_assert(ARRAY_SIZE(reason) == WEIR_NR_EXIT_REASONS, "enum weir_exit_reason");
	_Static_assert(ARRAY_SIZE(fault) == WEIR_NR_FAULT_KINDS, "enum weir_fault_kind");

#define ADD(field) add(t, "\"" #field "\":%lu,", s->field)
	add(t, "{\"domain_name\":\"%s\",", s->domain_name);
	ADD(abi_version);
	ADD(uptime_ns);
	add_sizes(t, "io_entries", s->io_entries);
	ADD(io_tables);
	ADD(io_splits);
	ADD(io_collapses);
	ADD(io_tables_freed);
	ADD(io_references);
	ADD(pages_held);
	ADD(pages_held_max);
	ADD(batches_in_flight);
	ADD(batches_posted);
	ADD(batches_completed);
	ADD(iotlb_invalidations);
	ADD(device_tlb_invalidations);
	ADD(context_invalidations);
	ADD(invalidations_posted);
	ADD(invalidations_completed);
	ADD(completion_interrupts);
	add(t, "\"latency\":[");
	for (u32 i = 0; i < WEIR_LATENCY_BUCKETS; i++)
		add(t, "%s%lu", i ? "," : "", s->latency[i]);
	add(t, "],");
	ADD(io_faults);
	add(t, "\"io_faults_by\":{");
	for (u32 i = 0; i < WEIR_NR_FAULT_KINDS; i++)
		add(t, "%s\"%s\":%lu", i ? "," : "", fault[i], s->io_faults_by[i]);
	add(t, "},");
	ADD(devices_quarantined);
	ADD(interrupt_pauses);
	ADD(pages_owned);
	ADD(pages_limit);
	add_sizes(t, "nested_entries", s->nested_entries);
	ADD(nr_vcpus);
	add(t, "\"exits\":{");
	for (u32 i = 0; i < WEIR_NR_EXIT_REASONS; i++)
		add(t, "%s\"%s\":%lu", i ? "," : "", reason[i], s->exits[i]);
	add(t, "},");
	ADD(interrupts_delivered);
	add(t, "\"absent_accesses\":%lu}", s->absent_accesses);
#undef ADD
}

static void add_network(struct text *t, struct netdev *dev)
{
	const struct netdev_counters *c = &dev->counters;

	if (!dev->gone)
		netdev_read_counters(dev);
#define ADD(field) add(t, "\"" #field "\":%lu,", c->field)
	add(t, "{\"device\":\"%s\",\"interrupt_kind\":\"%s\",\"link_mbps\":%u,", dev->name,
	    dev->interrupt_kind, dev->link_up ? dev->link_mbps : 0);
	ADD(rx_packets);
	ADD(rx_bytes);
	ADD(tx_packets);
	ADD(tx_bytes);
	ADD(rx_errors);
	ADD(rx_missed);
	ADD(tx_full);
	ADD(interrupts);
	ADD(polls);
#undef ADD
	add(t, "\"rx_copied\":%lu,\"rx_dropped\":%lu,\"tx_linearized\":%lu,\"rx_held\":%lu}",
	    netif_counters.rx_copied, netif_counters.rx_dropped, netif_counters.tx_linearized,
	    netif_counters.held);
}

static void add_stack(struct text *t)
{
	const struct heap_counters *heap = &heap_counters;

	add(t, "{\"heap_used\":%lu,\"heap_used_max\":%lu,\"heap_refused\":%lu,", heap->used,
	    heap->used_max, heap->refused);
	add(t, "\"segments_refused\":%lu,\"pbufs_refused\":%lu}",
	    (u64)lwip_stats.memp[MEMP_TCP_SEG]->err,
	    (u64)lwip_stats.memp[MEMP_PBUF]->err + lwip_stats.memp[MEMP_PBUF_POOL]->err);
}

size_t stats_json(char *buf, size_t size, struct netdev *dev)
{
	struct text t = { buf, size, 0 };
	const struct weir_stats *s = stats_weir();

	add(&t,
	    "{\"uptime_ns\":%lu,\"idle_ns\":%lu,\"memory_bytes\":%lu,\"spare_bytes\":%lu,\"tsc_"
	    "khz\":%lu,",
	    clock_ns(), idle_ns, memory_total(), spare_region().size, clock_tsc_khz());
	add(&t, "\"release_jobs\":%lu,\"hypervisor\":", release_jobs_done());
	if (s)
		add_weir(&t, s);
	else
		add(&t, "null");
	add(&t, ",\"network\":");
	if (dev)
		add_network(&t, dev);
	else
		add(&t, "null");
	add(&t, ",\"stack\":");
	add_stack(&t);
	add(&t, "}\n");
	return t.len;
}
