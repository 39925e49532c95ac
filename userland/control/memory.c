/* The commands memory, memory carve, memory lend and balloon. */
#include <string.h>
#include <kernel/lib/errno.h>
#include "shell.h"

#define MIB_SHIFT 8 /* pages to MiB */

static void read_info(struct weir_memory_info *info)
{
	memset(info, 0, sizeof(*info));
	(void)hypercall(WEIR_HC_MEMORY_INFO, (u64)info, sizeof(*info), 0);
}

void memory_command(int argc, char **argv)
{
	struct weir_memory_info info;

	(void)argc;
	(void)argv;
	read_info(&info);
	print("  %lu MiB free (%lu MiB of it Weir's reserve), %lu MiB lent to this domain's "
	      "devices, %lu MiB being taken back\n",
	      info.free >> MIB_SHIFT, info.reserve >> MIB_SHIFT, info.lent >> MIB_SHIFT,
	      info.carved >> MIB_SHIFT);
}

void memory_carve_command(int argc, char **argv)
{
	struct weir_memory_info info;
	u64 mib;

	(void)argc;
	if (!parse_number(argv[0], &mib))
		return;
	if (hypercall(WEIR_HC_MEMORY_CARVE, mib << MIB_SHIFT, 0, 0) <= 0) {
		print("no memory is lent, so none can be carved out: see control-iommu= in "
		      "docs/command-line.md\n");
		return;
	}
	do {
		shell_sleep(POLL_NS);
		read_info(&info);
	} while (info.carved && !shell_interrupted());
	memory_command(0, NULL);
}

void memory_lend_command(int argc, char **argv)
{
	struct weir_memory_info before, info;

	(void)argc;
	(void)argv;
	(void)hypercall(WEIR_HC_MEMORY_LEND, 0, 0, 0);
	/* Until it no longer grows. */
	read_info(&info);
	do {
		before = info;
		shell_sleep(POLL_NS);
		read_info(&info);
	} while (info.lent != before.lent && !shell_interrupted());
	memory_command(0, NULL);
}

static void print_balloon(const struct weir_domain_info *d)
{
	print("  %s: %lu MiB requested, %lu MiB given back, %lu of %lu MiB in use\n", d->name,
	      d->balloon_asked >> MIB_SHIFT, d->balloon_given >> MIB_SHIFT,
	      d->pages_owned >> MIB_SHIFT, d->pages_limit >> MIB_SHIFT);
}

/* Wait until it is done, has made no progress for 100 polls (2 s), or Ctrl-C was typed. */
static void wait_for_balloon(struct weir_domain_info *d)
{
	u64 before;
	u32 still = 0;

	do {
		before = d->balloon_given;
		shell_sleep(POLL_NS);
		if (hypercall(WEIR_HC_DOMAIN_INFO, d->id, (u64)d, sizeof(*d)) != d->id)
			return;
		still = d->balloon_given == before ? still + 1 : 0;
	} while (d->balloon_given != d->balloon_asked && still < 100 && !shell_interrupted());
}

void balloon_command(int argc, char **argv)
{
	struct weir_domain_info d;
	s64 ret;
	u64 mib;

	if (!find_domain(argv[0], &d))
		return;
	if (argc > 1) {
		if (!parse_number(argv[1], &mib))
			return;
		ret = hypercall(WEIR_HC_BALLOON, d.id, mib << MIB_SHIFT, 0);
		if (ret == -EINVAL)
			print("%s does not have %lu MiB\n", d.name, mib);
		else if (ret == -ENOMEM)
			print("not enough memory is free to return it to %s (type memory to see); "
			      "try again later\n",
			      d.name);
		else if (ret)
			print("%s has no balloon, or no driver for it: see \"balloon\" in "
			      "docs/guests.md\n",
			      d.name);
		if (ret)
			return;
		d.balloon_asked = mib << MIB_SHIFT;
		wait_for_balloon(&d);
	} else if (!d.has_balloon) {
		print("%s has no balloon: see \"balloon\" in docs/guests.md\n", d.name);
		return;
	}
	print_balloon(&d);
}
