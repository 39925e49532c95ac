/* See kernel/core/irqoff.h. Each CPU writes only its own record. */
#include <kernel/core/irqoff.h>

#if defined(WEIR_DEBUG) && !defined(WEIR_HOST)

#include <kernel/core/cpu.h>
#include <kernel/core/log.h>
#include <kernel/core/paging.h>
#include <kernel/core/symbols.h>
#include <kernel/lib/atomic.h>
#include <kernel/x86/tsc.h>

#define CALLERS 3
#define PARTS 24 /* functions whose longest part is kept */

struct part {
	u64 counts;
	const void *function;
};

static struct irqoff {
	u64 since; /* 0: no stretch is counted */
	u64 part_since;
	struct part part; /* the longest one of this stretch */
	u64 generation; /* of what follows; see irqoff_start() */
	u64 longest;
	struct part longest_part;
	u64 caller[CALLERS];
	struct part parts[PARTS]; /* the longest of each function; all others are in the last */
} records[MAX_CPUS];

/* Raised to forget all stretches: another CPU's record cannot be changed. 0: do not count. */
static u64 generation;

void irqoff_start(void)
{
	(void)atomic_add(&generation, 1);
	irqoff_begin();
}

void irqoff_begin(void)
{
	struct irqoff *r = &records[this_cpu()->id];
	u64 now = read_once(&generation);

	if (!now)
		return;
	if (r->generation != now)
		*r = (struct irqoff){ .generation = now };
	r->part = (struct part){ 0 };
	r->since = r->part_since = rdtsc();
}

/* The return addresses from the function whose frame this is. */
static void keep_callers(struct irqoff *r, const u64 *frame)
{
	for (u32 i = 0; i < CALLERS; i++) {
		r->caller[i] = 0;
		if (!frame || !IS_ALIGNED((u64)frame, 8) || !paging_mapped(frame))
			continue;
		r->caller[i] = frame[1];
		frame = (const u64 *)frame[0];
	}
}

void irqoff_end(void)
{
	struct irqoff *r = &records[this_cpu()->id];
	u64 counts = rdtsc() - r->since;

	/* The part that is still open: its function is on the stack. */
	irqoff_part(__builtin_return_address(0));
	if (r->since && r->generation == read_once(&generation) && counts > r->longest) {
		r->longest = counts;
		r->longest_part = r->part;
		keep_callers(r, __builtin_frame_address(0));
	}
	r->since = 0;
}

static void keep_part(struct irqoff *r, const void *function, u64 counts)
{
	struct part *p = r->parts;

	while (p->function && p->function != function && p < &r->parts[PARTS - 1])
		p++;
	p->function = function;
	p->counts = MAX(p->counts, counts);
}

void irqoff_part(const void *function)
{
	struct irqoff *r = &records[this_cpu()->id];
	u64 now = rdtsc(), counts = now - r->part_since;

	if (r->since)
		keep_part(r, function, counts);
	if (counts > r->part.counts)
		r->part = (struct part){ counts, function };
	r->part_since = now;
}

static const char *name_of(u64 address, u64 *offset)
{
	const char *name = address ? symbol_find(address, offset) : NULL;

	return name ? name : "?";
}

static void report(u32 cpu, const struct irqoff *r)
{
	u64 offset[CALLERS] = { 0 }, at = 0;
	const char *name[CALLERS];

	for (u32 i = 0; i < CALLERS; i++)
		name[i] = name_of(r->caller[i], &offset[i]);
	log_info("irqoff: CPU %u: %lu counts at most, %lu of them in %s", cpu, r->longest,
		 r->longest_part.counts, name_of((u64)r->longest_part.function, &at));
	log_info("irqoff:   ended at %s+0x%lx < %s+0x%lx < %s+0x%lx", name[0], offset[0], name[1],
		 offset[1], name[2], offset[2]);
	for (const struct part *p = r->parts; p < r->parts + PARTS && p->function; p++)
		log_info("irqoff:   at most %lu in %s", p->counts, name_of((u64)p->function, &at));
}

void irqoff_report(void)
{
	for (u32 i = 0; i < nr_cpus; i++)
		if (records[i].longest && records[i].generation == generation)
			report(i, &records[i]);
}

#endif
