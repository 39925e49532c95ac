/* Starts the application processors, one after the other (SDM vol. 3, 9.4.4): an INIT IPI, then up
 * to two start-up IPIs that name the page of the trampoline. */
#include <kernel/core/smp.h>

#include <kernel/core/clock.h>
#include <kernel/core/cpuinit.h>
#include <kernel/core/lapic.h>
#include <kernel/core/log.h>
#include <kernel/core/paging.h>
#include <kernel/core/topology.h>
#include <kernel/core/tscsync.h>
#include <kernel/lib/atomic.h>
#include <kernel/lib/string.h>
#include <kernel/mm/alloc.h>
#include <kernel/x86/interrupts.h>

#define STACK_PAGES 8
/* Real hardware answers within a millisecond. An emulated CPU may have to wait for time on a busy
 * host. */
#define START_TIMEOUT_NS 1000000000UL
#define STARTUP_AGAIN_NS 200000UL /* SDM vol. 3, 9.4.4.1 */

/* At the end of kernel/core/trampoline.asm. */
struct trampoline_words {
	u64 cr3;
	u64 stack;
	u64 entry;
	u64 argument;
};

extern const u8 trampoline_start[], trampoline_end[], trampoline_words[];

static void (*ap_prepare)(void), (*ap_main)(void);

static void ap_entry(struct cpu_area *area) __noreturn;
static void ap_entry(struct cpu_area *area)
{
	cpu_init(area);
	paging_flush();
	lapic_enable();
	if (!tscsync_join())
		halt_forever();
	store_release(&area->cpu.started, true);
	ap_prepare();
	store_release(&area->cpu.online, true);
	ap_main();
	__builtin_unreachable();
}

/* Wait until it has started, or is known to differ; false after this time. */
static bool wait_for(const struct cpu_area *area, u64 ns)
{
	u64 deadline = clock_ns() + ns;
	enum tscsync tsc;

	do {
		tsc = tscsync_poll();
		if (load_acquire(&area->cpu.started) || tsc == TSC_BEHIND || tsc == TSC_AHEAD)
			return true;
		cpu_relax();
	} while (clock_ns() < deadline);
	return false;
}

static const char *why_off(void)
{
	switch (tscsync_poll()) {
	case TSC_BEHIND:
		return "has a TSC that is behind the first CPU's, and cannot be set by TSC_ADJUST";
	case TSC_AHEAD:
		return "has a TSC that is ahead of the first CPU's, and cannot be set by "
		       "TSC_ADJUST";
	default:
		return "does not start";
	}
}

/* True once it is online. */
static bool start_cpu(u32 apic_id, u8 *page)
{
	struct trampoline_words *w = (struct trampoline_words *)(page + (trampoline_words -
									 trampoline_start));
	struct cpu_area *area = kzalloc(sizeof(*area));
	void *stack = area ? paging_map_stack(STACK_PAGES) : NULL;

	if (!stack || segments_map_stacks(&area->segments)) {
		kfree(area);
		log_warn("cpu: no memory for the CPU with APIC id 0x%x; it stays off", apic_id);
		return false;
	}
	area->cpu.id = nr_cpus;
	area->cpu.apic_id = apic_id;
	w->cr3 = paging_root();
	w->stack = (u64)stack;
	w->entry = (u64)ap_entry;
	w->argument = (u64)area;
	cpus[nr_cpus] = &area->cpu;
	tscsync_begin();

	lapic_send_init(apic_id);
	clock_delay_us(10000);
	lapic_send_startup(apic_id, (u8)(virt_to_phys(page) >> PAGE_SHIFT));
	if (!wait_for(area, STARTUP_AGAIN_NS)) {
		lapic_send_startup(apic_id, (u8)(virt_to_phys(page) >> PAGE_SHIFT));
		(void)wait_for(area, START_TIMEOUT_NS);
	}
	if (!load_acquire(&area->cpu.started)) {
		/* It may still start later: stop it with another INIT, and keep its memory. */
		lapic_send_init(apic_id);
		cpus[nr_cpus] = NULL;
		log_warn("cpu: the CPU with APIC id 0x%x %s; it stays off", apic_id, why_off());
		return false;
	}
	/* From here on it may hold locks: it cannot be stopped, and needs no second attempt. */
	while (!load_acquire(&area->cpu.online))
		cpu_relax();
	store_release(&nr_cpus, nr_cpus + 1);
	return true;
}

/* True if another thread of its core is online. */
static bool shares_core(u32 apic_id, unsigned int bits)
{
	for (u32 i = 0; i < nr_cpus; i++)
		if (cpus[i]->apic_id >> bits == apic_id >> bits)
			return true;
	return false;
}

static bool is_reachable(u32 apic_id)
{
	if (apic_id <= lapic_max_id())
		return true;
	log_warn("cpu: APIC id 0x%x cannot be reached without x2APIC; that CPU stays off", apic_id);
	return false;
}

/* Which CPUs stay off, and why. */
static void log_limits(struct smp_limits limits, u32 threads_off, u32 beyond)
{
	if (limits.one_thread)
		log_info("cpu: one thread of each core by smt=off; %u stay off", threads_off);
	if (beyond && limits.max < MAX_CPUS)
		log_info("cpu: limited to %u CPUs by maxcpus=; %u stay off", limits.max, beyond);
	else if (beyond)
		log_warn("cpu: more CPUs than MAX_CPUS (%u): %u stay off", MAX_CPUS, beyond);
}

static void start_cpus(const u32 *apic_id, u32 nr, struct smp_limits limits, u8 *page)
{
	u32 threads_off = 0, beyond = 0;
	unsigned int bits = 0;

	if (limits.one_thread && !topology_thread_bits(&bits)) {
		log_warn("cpu: smt=off has no effect: CPUID does not tell threads from cores; "
			 "switch threads off in the firmware's setup");
		limits.one_thread = false;
	}
	for (u32 i = 0; i < nr; i++) {
		if (apic_id[i] == this_cpu()->apic_id)
			continue;
		if (limits.one_thread && shares_core(apic_id[i], bits))
			threads_off++;
		else if (nr_cpus == limits.max)
			beyond++;
		else if (is_reachable(apic_id[i]))
			start_cpu(apic_id[i], page);
	}
	log_limits(limits, threads_off, beyond);
}

void smp_init(const u32 *apic_id, u32 nr, struct smp_limits limits, void (*prepare)(void),
	      void (*main)(void))
{
	size_t size = (size_t)(trampoline_end - trampoline_start);
	mfn_t mfn;
	u8 *page;

	ap_prepare = prepare;
	ap_main = main;
	if (nr <= 1 || limits.max == 1) {
		log_info("cpu: 1 CPU online");
		return;
	}
	mfn = alloc_frames_below(ORDER_4K, 0x100);
	if (mfn == INVALID_MFN || paging_map_identity(mfn << PAGE_SHIFT)) {
		log_warn("cpu: no page below 1 MiB to start the other CPUs with; they stay off");
		return;
	}
	page = mfn_to_virt(mfn);
	memcpy(page, trampoline_start, size);
	start_cpus(apic_id, nr, limits, page);
	paging_unmap_identity();
	free_frames(mfn, ORDER_4K);
	log_info("cpu: %u CPU%s online", nr_cpus, nr_cpus == 1 ? "" : "s");
}
