/* The control domain's shell: what its files share. */
#pragma once

#include <kernel/abi/control.h>
#include <kernel/abi/iommu.h>
#include "../runtime/runtime.h"

/* --- main.c: the terminal ------------------------------------------------- */

/* Sleep until something is typed or comes, `ns` at most (0: without end). */
void shell_sleep(u64 ns);
#define POLL_NS 20000000UL /* between two looks at what is under way */
/* What was typed next, or -1. */
int shell_key(void);
/* While a command waits: true if Ctrl-C was typed, which drops what was typed before it; else that
 * is kept for shell_key(). */
bool shell_interrupted(void);

/* --- line.c --------------------------------------------------------------- */

/* Print the prompt and read one line, without its end; false: it was given up by Ctrl-C. */
bool line_read(const char *prompt, char *line, size_t size);

/* --- commands.c: one entry a command; add yours there
 * ---------------------------------------------------------------------------- */

struct command {
	const char *name; /* one word or two */
	const char *arguments;
	int min_arguments, max_arguments;
	const char *help;
	void (*run)(int argc, char **argv); /* argv[0]: the first argument */
};

/* Execute one line, which it takes apart. */
void command_execute(char *line);

/* --- domains.c ------------------------------------------------------------ */

void domains_command(int argc, char **argv);
void destroy_command(int argc, char **argv);
void exits_command(int argc, char **argv);
/* The domain with this name, or id if it is a number; if there is none, or it is dying, that is
 * said and the result is false. */
bool find_domain(const char *name, struct weir_domain_info *info);
/* The name of the domain with this id, for a table: "-" for 0, "?" if it is gone. */
const char *domain_name(u16 id);

/* --- console.c ------------------------------------------------------------ */

void console_command(int argc, char **argv);

/* --- devices.c ------------------------------------------------------------ */

void devices_command(int argc, char **argv);
void attach_command(int argc, char **argv);
void detach_command(int argc, char **argv);
/* bus:device.function, with or without a segment, as lspci prints it; if there is no such device,
 * that is said and the result is false. */
bool find_device(const char *text, struct weir_device_info *info);

/* --- trace.c, memory.c ---------------------------------------------------- */

void log_command(int argc, char **argv);
void iommu_trace_command(int argc, char **argv);
void memory_command(int argc, char **argv);
void memory_carve_command(int argc, char **argv);
void balloon_command(int argc, char **argv);
void memory_lend_command(int argc, char **argv);

/* --- iommu.c -------------------------------------------------------------- */

void iommu_show_command(int argc, char **argv);
void iommu_stats_command(int argc, char **argv);
void iommu_unit_command(int argc, char **argv);
/* All of the word, decimal or after 0x hexadecimal; if it is no number, that is said. */
bool parse_number(const char *text, u64 *n);
