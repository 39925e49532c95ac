/* The commands domains, destroy and exits. */
#include <stdlib.h>
#include <string.h>
#include <kernel/lib/errno.h>
#include "shell.h"

static bool next_domain(u16 *id, struct weir_domain_info *info)
{
	s64 found = hypercall(WEIR_HC_DOMAIN_INFO, *id, (u64)info, sizeof(*info));

	if (found <= 0)
		return false;
	*id = (u16)(found + 1);
	return true;
}

static u32 count_devices(u16 owner)
{
	struct weir_device_info d;
	u32 n = 0;

	for (u64 i = 0; hypercall(WEIR_HC_DEVICE_INFO, i, (u64)&d, sizeof(d)) > 0; i++)
		n += d.owner == owner;
	return n;
}

static const char *state_name(u8 state)
{
	static const char *const name[] = { "building", "running", "dying", "restarting",
					    "halted" };

	return state < ARRAY_SIZE(name) ? name[state] : "?";
}

void domains_command(int argc, char **argv)
{
	struct weir_domain_info d;
	u16 id = 0;

	(void)argc;
	(void)argv;
	print("%3s  %-16s %-10s %5s %9s %9s  %s\n", "id", "name", "state", "vCPUs", "KiB", "of KiB",
	      "devices");
	while (next_domain(&id, &d))
		print("%3u  %-16s %-10s %5u %9lu %9lu  %u%s\n", d.id, d.name, state_name(d.state),
		      d.nr_vcpus, d.pages_owned * 4, d.pages_limit * 4, count_devices(d.id),
		      d.control ? "  (this one)" : "");
}

bool find_domain(const char *name, struct weir_domain_info *info)
{
	char *end;
	u64 number = strtoul(name, &end, 10);
	u16 id = 0;

	while (next_domain(&id, info)) {
		if (strcmp(info->name, name) && (*end || info->id != number))
			continue;
		if (info->state != WEIR_DOMAIN_DYING)
			return true;
		print("\"%s\": this domain is ending\n", name);
		return false;
	}
	print("\"%s\": no such domain; type domains for a list\n", name);
	return false;
}

static bool exists(u16 id)
{
	struct weir_domain_info d;

	return hypercall(WEIR_HC_DOMAIN_INFO, id, (u64)&d, sizeof(d)) == id;
}

void destroy_command(int argc, char **argv)
{
	struct weir_domain_info d;
	s64 ret;

	(void)argc;
	if (!find_domain(argv[0], &d))
		return;
	if (d.control) {
		print("\"%s\": the control domain cannot be destroyed\n", argv[0]);
		return;
	}
	ret = hypercall(WEIR_HC_DOMAIN_DESTROY, d.id, 0, 0);
	if (ret) {
		print("\"%s\": this domain %s\n", argv[0],
		      ret == -EBUSY ? "is still being built; try again" : "has just ended");
		return;
	}
	while (exists(d.id)) {
		if (shell_interrupted()) {
			print("^C: still ending; see domains\n");
			return;
		}
		shell_sleep(POLL_NS);
	}
	print("%s: destroyed, %lu KiB freed\n", d.name, d.pages_limit * 4);
}

static void print_count(const char *what, u64 n)
{
	if (n)
		print("  %-20s %12lu\n", what, n);
}

void exits_command(int argc, char **argv)
{
	static const char *const reason[] = {
		"host interrupt", "interrupt window", "CPUID", "MSR",	    "port",
		"device memory",  "nested fault",     "HLT",   "hypercall", "other"
	};
	static const char *const msr[] = { "MSR: EOI", "MSR: timer", "MSR: IPI", "MSR: other" };
	_Static_assert(ARRAY_SIZE(reason) == WEIR_NR_EXIT_REASONS, "enum weir_exit_reason");
	_Static_assert(ARRAY_SIZE(msr) == WEIR_NR_MSR_EXITS, "enum weir_msr_exit");
	struct weir_domain_info d;
	struct weir_stats s;

	(void)argc;
	if (!find_domain(argv[0], &d))
		return;
	if (hypercall(WEIR_HC_DOMAIN_STATS, d.id, (u64)&s, sizeof(s)) < 0) {
		print("\"%s\": this domain has just ended\n", argv[0]);
		return;
	}
	for (u32 i = 0; i < WEIR_NR_EXIT_REASONS; i++)
		if (i != WEIR_EXIT_MSR)
			print_count(reason[i], s.exits[i]);
	for (u32 i = 0; i < WEIR_NR_MSR_EXITS; i++)
		print_count(msr[i], s.msr_exits[i]);
	print_count("interrupts taken", s.interrupts_taken);
}

const char *domain_name(u16 id)
{
	static struct weir_domain_info d;

	if (!id)
		return "-";
	return hypercall(WEIR_HC_DOMAIN_INFO, id, (u64)&d, sizeof(d)) == id ? d.name : "?";
}
