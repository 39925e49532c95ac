/* The command iommu trace: prints the IOMMU core's events. */
#include <stdio.h>
#include <string.h>
#include "shell.h"

#define CHUNK 64
#define DEFAULT_EVENTS 20

/* How each kind of event and its two numbers are printed; NULL: not as numbers. */
static const struct {
	const char *what, *numbers;
} kinds[] = {
	[WEIR_TRACE_MAP] = { "map", "dfn 0x%lx, %lu frames" },
	[WEIR_TRACE_UNMAP] = { "unmap", "dfn 0x%lx, %lu frames" },
	[WEIR_TRACE_SPLIT] = { "split", "frame 0x%lx, leaf of level %lu" },
	[WEIR_TRACE_COLLAPSE] = { "collapse", "frame 0x%lx, leaf of level %lu" },
	[WEIR_TRACE_UNLINK] = { "unlink", "dfn 0x%lx, entry of level %lu" },
	[WEIR_TRACE_COMMIT] = { "commit", "flush dfn 0x%lx to 0x%lx" },
	[WEIR_TRACE_ANSWERED] = { "answered", "after %lu ns" },
	[WEIR_TRACE_RELEASED] = { "released", "%lu frames held until now" },
	[WEIR_TRACE_DEVICE_TLB] = { "device TLB flush", "dfn 0x%lx to 0x%lx" },
	[WEIR_TRACE_ATTACH] = { "attach", "flags 0x%lx, unit %lu" },
	[WEIR_TRACE_ISOLATE] = { "isolate", NULL },
	[WEIR_TRACE_ISOLATED] = { "isolated", NULL },
	[WEIR_TRACE_FAULT] = { "fault", "address 0x%lx, reason 0x%lx" },
	[WEIR_TRACE_ERROR] = { "queue error", "FSTS %lx, IQERCD %lx" },
};

static bool is_of_a_device(u16 kind)
{
	return kind == WEIR_TRACE_DEVICE_TLB || kind == WEIR_TRACE_ATTACH ||
	       kind == WEIR_TRACE_ISOLATE || kind == WEIR_TRACE_ISOLATED ||
	       kind == WEIR_TRACE_FAULT;
}

static void print_event(const struct weir_trace_event *e)
{
	const char *numbers = e->kind < ARRAY_SIZE(kinds) ? kinds[e->kind].numbers : NULL;
	char who[16], text[64] = "";

	if (is_of_a_device(e->kind))
		snprintf(who, sizeof(who), "%02x:%02x.%u", e->who >> 8, e->who >> 3 & 31,
			 e->who & 7);
	else
		snprintf(who, sizeof(who), "%s %u", e->kind == WEIR_TRACE_ERROR ? "unit" : "batch",
			 e->who);
	if (e->kind == WEIR_TRACE_COMMIT && e->a > e->b)
		snprintf(text, sizeof(text), "nothing to flush");
	else if (numbers)
		snprintf(text, sizeof(text), numbers, e->a, e->b);
	else if (e->kind < ARRAY_SIZE(kinds))
		snprintf(text, sizeof(text), "%s", e->a ? "to be detached" : "quarantined");
	print("  %6lu %5lu.%06lu %-10s %-9s %-16s %s\n", e->number, e->time / 1000000000,
	      e->time / 1000 % 1000000, e->owner <= 64 ? domain_name(e->owner) : "-", who,
	      e->kind < ARRAY_SIZE(kinds) && kinds[e->kind].what ? kinds[e->kind].what : "?", text);
}

/* Read events from number *from on; returns how many. */
static s64 read_events(u64 *from, struct weir_trace_event *events)
{
	s64 n = hypercall(WEIR_HC_IOMMU_TRACE, *from, (u64)events, CHUNK * sizeof(*events));

	if (n > 0)
		*from = events[n - 1].number + 1;
	return n;
}

static void switch_pages(bool on)
{
	bool was = hypercall(WEIR_HC_IOMMU_TRACE_PAGES, on, 0, 0) == 1;

	print("  what happens to pages %s recorded%s\n", on ? "is" : "is not",
	      was == on ? " already" : " from now on");
}

void iommu_trace_command(int argc, char **argv)
{
	static struct weir_trace_event events[CHUNK];
	u64 wanted = DEFAULT_EVENTS, from = 0, last;
	s64 n;

	if (argc && (!strcmp(argv[0], "on") || !strcmp(argv[0], "off"))) {
		switch_pages(!strcmp(argv[0], "on"));
		return;
	}
	if (argc && !parse_number(argv[0], &wanted))
		return;
	while (read_events(&from, events) > 0)
		;
	last = from;
	from = last > wanted ? last - wanted : 0;
	while (from < last && (n = read_events(&from, events)) > 0)
		for (s64 i = 0; i < n && events[i].number < last; i++)
			print_event(&events[i]);
}
