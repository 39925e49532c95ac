/* From GRUB's module lines to domains: which are built, in which order. How one is built and
 * started: kernel/guest/lifecycle/start.c. */
#include <kernel/guest/lifecycle/builder.h>

#include <kernel/core/log.h>
#include <kernel/guest/lifecycle/modules.h>
#include <kernel/guest/lifecycle/start.h>
#include <kernel/mm/alloc.h>

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

void build_domains(const struct boot_info *info, const struct build_options *options)
{
	u32 nr = modules_init(info);

	if (!nr)
		log_info("no modules, so there is nothing to run; "
			 "docs/guests.md says how to add a guest");
	refuse_second_control(nr);
	/* The control domain first. */
	for (u32 i = 0; i < nr; i++)
		if (is_kernel(i) && module_at(i)->line.control) {
			start_new(i, options->control_iommu);
			break;
		}
	for (u32 i = 0; i < nr; i++)
		if (is_kernel(i) && !module_at(i)->line.control) {
			if (options->fail_allocations)
				fail_next_build();
			start_new(i, options->control_iommu);
		}
	fail_no_more();
	modules_free_others();
}
