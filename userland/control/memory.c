/* The machine's memory: lent to this domain's devices by its identity map, carved out again, free. */
#include "shell.h"

#include <string.h>

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
	print("  free %lu MiB (%lu of them Weir's reserve), lent to this domain's devices %lu MiB, on the way back %lu MiB\n",
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
		print("nothing is lent: see control-iommu= in docs/command-line.md\n");
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
	/* Until it does not grow any more. */
	read_info(&info);
	do {
		before = info;
		shell_sleep(POLL_NS);
		read_info(&info);
	} while (info.lent != before.lent && !shell_interrupted());
	memory_command(0, NULL);
}
