/* A random program: its steps call into the core, let the hardware act, or let a CPU perform
 * pending work; now and then the program waits until nothing is in flight and compares everything
 * with the shadow state. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <iommu/unit.h>
#include <kernel/mm/alloc.h>
#include <tests/model/actions.h>
#include <tests/model/checker.h>
#include <tests/model/deaths.h>
#include <tests/model/interleave.h>
#include <tests/model/program.h>
#include <tests/model/random.h>

#define LOG_LINES 30
#define LOG_WIDTH 160

static char log_lines[LOG_LINES][LOG_WIDTH];
static u64 log_count, step;
static bool verbose; /* print operations as they happen */

u64 program_step(void)
{
	return step;
}

void say(const char *fmt, ...)
{
	char *line = log_lines[log_count++ % LOG_LINES];
	int n = snprintf(line, LOG_WIDTH, "%8lu  ", step);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line + n, LOG_WIDTH - (size_t)n, fmt, ap);
	va_end(ap);
	if (verbose)
		fprintf(stderr, "%s\n", line);
}

void program_print_log(void)
{
	for (u64 i = log_count > LOG_LINES ? log_count - LOG_LINES : 0; i < log_count; i++)
		fprintf(stderr, "  %s\n", log_lines[i % LOG_LINES]);
}

static void settle(void)
{
	say("settle");
	actions_commit_all();
	vtd_settle();
	/* No hardware activity during the checks. */
	interleave_hook = NULL;
	vtd_settle();
	actions_check_quiet();
	interleave_hook = hardware_acts;
}

static void interrupts(void)
{
	vtd_interrupts();
}

static void work(void)
{
	for (u64 n = 1 + below(4); n && vtd_work(); n--)
		;
}

/* Enough to fill the ring of a stalled unit. */
static void interrupt_entries(void)
{
	for (u64 n = 1 + below(12); n; n--)
		act_interrupt_entry();
}

static void execute(void)
{
	unsigned int unit = (unsigned int)below(VTD_UNITS);

	if (!hardware_stalled(unit))
		vtd_execute(unit, 1 + (unsigned int)below(16));
	vtd_answer_late(unit, false);
}

static void detach(void)
{
	unsigned int device = (unsigned int)below(VTD_DEVICES);

	/* A quarantined device is of no further use. */
	if (vtd_stopped[device] || one_in(2))
		act_detach(device);
}

static const struct {
	unsigned int weight;
	void (*act)(void);
} choices[] = {
	{ 2, settle },	    { 15, act_create },	       { 3, act_destroy },  { 25, act_attach },
	{ 25, detach },	    { 20, act_grant },	       { 230, act_change }, { 50, commit_one },
	{ 60, answer_one }, { 20, interrupt_entries }, { 120, execute },    { 80, interrupts },
	{ 200, work },	    { 150, hardware_acts },
};

static void take_step(void)
{
	u64 choice = 0;
	unsigned int i = 0;

	for (unsigned int k = 0; k < ARRAY_SIZE(choices); k++)
		choice += choices[k].weight;
	choice = below(choice);
	while (choice >= choices[i].weight)
		choice -= choices[i++].weight;
	hardware_mood();
	choices[i].act();
}

/* Creates what is never freed: the context tables. */
static void warm_up(void)
{
	for (unsigned int i = 0; i < DOMAINS; i++)
		while (!model_domains[i].alive)
			act_create();
	for (unsigned int i = 0; i < VTD_DEVICES; i++)
		while (model_devices[i].domain < 0) {
			act_attach();
			vtd_settle(); /* a failed attempt is cleaned up in steps */
		}
	actions_end();
	vtd_settle();
	actions_check_quiet();
}

/* The numbers of the units' waits come round soon. */
static void start_near_the_wrap(void)
{
	for (unsigned int i = 0; i < VTD_UNITS; i++) {
		struct iommu_queue *q = &iommu_units[i].queue;

		q->sequence = (u32)-500;
		*q->status = (u32)-500;
	}
}

void program_run(const struct model_config *config, u64 steps)
{
	bool scripted = random_script != random_script_end;
	u64 free_frames;

	step = log_count = 0;
	verbose = getenv("VERBOSE");
	vtd_whims = true;
	vtd_virtual = config->virtual ? vtd_devices[5] : (struct pci_id){ 0 };
	vtd_physical = vtd_devices[1];
	vtd_require(vtd_start(&config->hardware), "the units cannot be initialized");
	start_near_the_wrap();
	shadow_start();
	actions_start();
	hardware_start(config->errors);
	warm_up();
	free_frames = alloc_free_frames();
	deaths_start(config->deaths);
	for (step = 1; step <= steps && (!scripted || random_script != random_script_end); step++) {
		take_step();
		if (deaths_end_now())
			deaths_end(settle);
		if (step % 64 == 0)
			checker_caches();
	}
	if (vtd_dead[0] || vtd_dead[1])
		deaths_end(settle);
	deaths_start(false);
	say("the end");
	actions_end();
	vtd_settle();
	actions_check_quiet();
	vtd_require(alloc_free_frames() == free_frames, "%ld frames are lost",
		    (long)(free_frames - alloc_free_frames()));
	hardware_stop();
	alloc_fail_hook = NULL;
	shadow_stop();
	vtd_stop();
	vtd_whims = false;
	vtd_virtual = (struct pci_id){ 0 };
}
