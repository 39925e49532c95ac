/* The table of commands, and the parser that runs a command from a line. */
#include <stdio.h>
#include <string.h>
#include "shell.h"

#define MAX_WORDS 8

static void help_command(int argc, char **argv);

static const struct command commands[] = {
	{ "help", "", 0, 0, "list the commands", help_command },
	{ "domains", "", 0, 0, "list the domains: id, name, state, vCPUs, memory, devices",
	  domains_command },
	{ "console", "DOMAIN", 1, 1, "connect to a domain's console; Ctrl-] returns",
	  console_command },
	{ "screen", "DOMAIN", 1, 1, "show a domain's text screen", screen_command },
	{ "devices", "", 0, 0, "list the PCI functions: domain, state, reset method",
	  devices_command },
	{ "attach", "DEVICE DOMAIN [ats]", 2, 3,
	  "give a free device to a domain (ats: trust the device with all memory)",
	  attach_command },
	{ "detach", "DEVICE", 1, 1, "take a device from its domain", detach_command },
	{ "rescan", "", 0, 0, "look for PCI functions that have come, gone or been exchanged",
	  rescan_command },
	{ "destroy", "DOMAIN", 1, 1, "destroy a domain", destroy_command },
	{ "exits", "DOMAIN", 1, 1, "count a domain's exits to Weir by reason, and its interrupts",
	  exits_command },
	{ "iommu show", "DEVICE ADDRESS", 2, 2,
	  "show how a device address is translated: entries, page, references",
	  iommu_show_command },
	{ "iommu stats", "DOMAIN", 1, 1,
	  "show the counters of a domain's I/O tables and invalidations", iommu_stats_command },
	{ "iommu unit", "NUMBER", 1, 1, "show a remapping unit: its queue, errors and faults",
	  iommu_unit_command },
	{ "iommu trace", "[EVENTS|on|off]", 0, 1,
	  "show the last events of the IOMMU core (20 by default; on: of pages too)",
	  iommu_trace_command },
	{ "log", "[LINES]", 0, 1, "show the log from memory, or only its last lines", log_command },
	{ "memory carve", "MIB", 1, 1, "carve memory out of this domain's identity map",
	  memory_carve_command },
	{ "memory lend", "", 0, 0, "lend free memory to this domain's devices again",
	  memory_lend_command },
	{ "balloon", "DOMAIN [MIB]", 1, 2,
	  "ask a domain to give back memory, or show what it has given back", balloon_command },
	/* After the two-word commands that begin with it: the first match wins. */
	{ "memory", "", 0, 0, "show free memory, and memory lent to this domain's devices",
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
	print("DOMAIN is a name or an id; DEVICE is bus:device.function, as devices shows it.\n"
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

/* How many of the words form the command's name; 0: it is another command. */
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
		print("%s: missing argument; usage: %s %s\n", c->name, c->name, c->arguments);
	else if (argc > c->max_arguments)
		print("\"%s\": too many arguments; usage: %s %s\n", argv[c->max_arguments], c->name,
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
	print("\"%s%s%s\": no such command; type help for a list\n", word[0], n > 1 ? " " : "",
	      n > 1 ? word[1] : "");
}
