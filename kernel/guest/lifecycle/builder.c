/* From GRUB's module lines to domains: which are built, in which order. How one is built and
 * started: kernel/guest/lifecycle/start.c.
 *
 * The domains get their memory in the order of their lines, the control domain first. It is then
 * cleared by all CPUs that have nothing else to do, and a domain goes on as soon as its own is
 * clear: a large one keeps no other waiting, and guests run meanwhile. */
#include <kernel/guest/lifecycle/builder.h>

#include <kernel/core/background.h>
#include <kernel/core/clock.h>
#include <kernel/core/debugexit.h>
#include <kernel/core/log.h>
#include <kernel/guest/domain/domain.h>
#include <kernel/guest/lifecycle/modules.h>
#include <kernel/guest/lifecycle/start.h>
#include <kernel/guest/lifecycle/teardown.h>
#include <kernel/guest/memory/pool.h>
#include <kernel/mm/alloc.h>
#include <kernel/mm/bootinfo.h>

static bool is_kernel(u32 i)
{
	return module_at(i)->valid && module_at(i)->line.kind == MODULE_KERNEL;
}

/* There can be one control domain. */
static void refuse_second_control(u32 nr)
{
	const char *first = NULL;

	for (u32 i = 0; i < nr; i++) {
		if (!is_kernel(i) || !module_at(i)->line.control)
			continue;
		if (first) {
			log_err("module %u: control: domain %s is the control domain already; "
				"remove the word from one of the two",
				i, first);
			module_at(i)->valid = false;
		}
		first = first ? first : module_at(i)->line.domain;
	}
}

/* For a test that lets each allocation of a domain's build fail, one in each domain. */
static void fail_next_build(void)
{
#ifdef WEIR_DEBUG
	static u64 nth;

	alloc_fail(++nth, 0);
#endif
}

static void fail_no_more(void)
{
#ifdef WEIR_DEBUG
	alloc_fail(0, 0);
#endif
}

static struct {
	struct build_options options;
	struct start start[BOOT_MAX_MODULES];
	u32 nr;
	struct background work;
	struct timer again;
	void (*ready)(void);
} build;

#define POLL_NS 1000000UL

static void poll(struct timer *t __unused)
{
	background_queue(&build.work, 0);
}

static void add(u32 module)
{
	build.start[build.nr++] = (struct start){ .module = module };
}

static bool names(const struct module_line *line, struct pci_id id)
{
	for (u32 i = 0; i < line->nr_devices; i++)
		if (line->device[i].segment == id.segment && line->device[i].bdf == id.bdf)
			return true;
	return false;
}

/* True if a domain of an earlier line, which has not taken its devices yet, names one of this
 * one's: the first is to get it. */
static bool must_wait(const struct start *s)
{
	const struct module_line *line = &module_at(s->module)->line;

	if (s->stage != START_DEVICES)
		return false;
	for (const struct start *e = build.start; e < s; e++)
		for (u32 i = 0; i < line->nr_devices && e->stage <= START_DEVICES; i++)
			if (names(&module_at(e->module)->line, line->device[i]))
				return true;
	return false;
}

/* Take a step of a domain that has its memory. False: none of them can go on now. */
static bool step_one_with_memory(bool *waiting)
{
	for (struct start *s = build.start; s < build.start + build.nr; s++) {
		if (s->stage < START_CLEAR || s->stage == START_DONE)
			continue;
		if (!must_wait(s) && start_step(s, build.options.control_iommu) != STEP_WAIT)
			return true;
		*waiting = true;
	}
	return false;
}

/* Take a step of the first domain that has not. */
static bool step_one_without(bool *waiting)
{
	struct start *s = build.start;

	while (s < build.start + build.nr && s->stage >= START_CLEAR)
		s++;
	if (s == build.start + build.nr)
		return false;
	/* When allocations are to fail, those of one domain. */
	if (build.options.fail_allocations && *waiting)
		return false;
	if (build.options.fail_allocations && s->stage == START_RECORD &&
	    !module_at(s->module)->line.control)
		fail_next_build();
	if (start_step(s, build.options.control_iommu) != STEP_WAIT)
		return true;
	*waiting = true;
	return false;
}

static enum step build_step(struct background *b __unused)
{
	bool waiting = false;
	u64 steps, by_busy;

	if (step_one_with_memory(&waiting) || step_one_without(&waiting))
		return STEP_MORE;
	if (waiting) {
		timer_set(&build.again, clock_ns() + POLL_NS);
		return STEP_WAIT;
	}
	fail_no_more();
	if (modules_free_others_step() == STEP_MORE)
		return STEP_MORE;
	pool_open();
	steps = background_steps(&by_busy);
	log_debug("domains: built in %lu steps, %lu of them by CPUs that were not idle", steps,
		  by_busy);
	build.ready();
	if (domains_complete() && build.nr)
		teardown_all_ended();
	else if (!build.nr)
		debug_exit_when(DEBUG_EXIT_IDLE);
	return STEP_DONE;
}

void build_domains(const struct boot_info *info, const struct build_options *options,
		   void (*ready)(void))
{
	u32 nr = modules_init(info);

	if (!nr)
		log_info("no modules, so there is nothing to run; "
			 "docs/guests.md says how to add a guest");
	refuse_second_control(nr);
	build.options = *options;
	build.ready = ready;
	for (u32 control = 2; control--;)
		for (u32 i = 0; i < nr; i++)
			if (is_kernel(i) && module_at(i)->line.control == control)
				add(i);
	domains_begin();
	timer_init(&build.again, poll);
	background_init(&build.work, build_step, false);
	background_queue(&build.work, 0);
}
