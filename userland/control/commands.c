/* The table of commands, and the way from a line to one of them. */
#include <stdio.h>
#include <string.h>
#include "shell.h"

#define MAX_WORDS 8

static void help_command(int argc, char **argv);

static const struct command commands[] = {
	{ "help", "", 0, 0, "this list", help_command },
	{ "domains", "", 0, 0, "the domains: id, name, state, vCPUs, memory, devices",
	  domains_command },
	{ "console", "DOMAIN", 1, 1, "connect to its console; Ctrl-] returns", console_command },
	{ "devices", "", 0, 0, "the PCI functions: who has them, and what can be done with them",
	  devices_command },
	{ "attach", "DEVICE DOMAIN [ats]", 2, 3,
	  "give a free device to a domain (ats: trust the device with all memory)",
	  attach_command },
	{ "detach", "DEVICE", 1, 1, "take a device from its domain", detach_command },
	{ "destroy", "DOMAIN", 1, 1, "end a domain", destroy_command },
	{ "exits", "DOMAIN", 1, 1,
	  "why a domain's vCPUs have left it, and the interrupts they took", exits_command },
	{ "iommu show", "DEVICE ADDRESS", 2, 2,
	  "how an address of a device is translated: entries, page, references",
	  iommu_show_command },
	{ "iommu stats", "DOMAIN", 1, 1, "counters of a domain's I/O tables and invalidations",
	  iommu_stats_command },
	{ "iommu unit", "NUMBER", 1, 1, "a remapping unit: its queue, errors and faults",
	  iommu_unit_command },
	{ "iommu trace", "[EVENTS]", 0, 1, "the last events of the IOMMU core (20)",
	  iommu_trace_command },
	{ "log", "[LINES]", 0, 1, "the log in memory, or its last lines", log_command },
	{ "memory carve", "MIB", 1, 1, "carve memory out of this domain's identity map",
	  memory_carve_command },
	{ "memory lend", "", 0, 0, "lend what is free to this domain's devices again",
	  memory_lend_command },
	{ "balloon", "DOMAIN [MIB]", 1, 2,
	  "ask a domain to give memory back, or show what it has given", balloon_command },
	/* Behind those whose name begins with it. */
	{ "memory", "", 0, 0, "what is free, and what is lent to this domain's devices",
	  memory_command },
};

static void help_command(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		char head[48];

		snprintf(head, sizeof(head), "%s %s", commands[i].name, commands[i].arguments);
		print("  %-28s %s\n", head, commands[i].help);
	}
	print("DOMAIN is a name or an id, DEVICE is bus:device.function as devices shows it.\n"
	      "Ctrl-U clears the line, Ctrl-C cancels it.\n");
}

static int split(char *line, char *word[MAX_WORDS])
{
	int n = 0;

	while (*line && n < MAX_WORDS) {
		while (*line == ' ' || *line == '\t')
			*line++ = 0;
		if (!*line)
			break;
		word[n++] = line;
		while (*line && *line != ' ' && *line != '\t')
			line++;
	}
	return n;
}

/* How many of the words are the command's name; 0: they are not. */
static int match(const struct command *c, int n, char *word[MAX_WORDS])
{
	size_t first = strlen(word[0]);

	if (!strcmp(c->name, word[0]))
		return 1;
	if (n >= 2 && !strncmp(c->name, word[0], first) && c->name[first] == ' ' &&
	    !strcmp(c->name + first + 1, word[1]))
		return 2;
	return 0;
}

static void run(const struct command *c, int argc, char **argv)
{
	if (argc < c->min_arguments)
		print("%s: an argument is missing; usage: %s %s\n", c->name, c->name, c->arguments);
	else if (argc > c->max_arguments)
		print("\"%s\": one word too many; usage: %s %s\n", argv[c->max_arguments], c->name,
		      c->arguments);
	else
		c->run(argc, argv);
}

void command_execute(char *line)
{
	char *word[MAX_WORDS];
	int n = split(line, word);

	if (!n)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		int used = match(&commands[i], n, word);

		if (used) {
			run(&commands[i], n - used, word + used);
			return;
		}
	}
	print("\"%s%s%s\": no such command; help lists them\n", word[0], n > 1 ? " " : "",
	      n > 1 ? word[1] : "");
}
