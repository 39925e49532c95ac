/* Declarations that the files of the control domain's shell share. */
#pragma once

#include <kernel/abi/control.h>
#include <kernel/abi/iommu.h>
#include "../runtime/runtime.h"

/* --- main.c: the terminal ------------------------------------------------- */

/* Sleep until a key or an event arrives, for at most `ns` (0: without a limit). */
void shell_sleep(u64 ns);
#define POLL_NS 20000000UL /* between two checks of something in progress */

/* --- keys.c --------------------------------------------------------------- */

/* The next key typed, or -1. */
int shell_key(void);
/* While a command waits: true if Ctrl-C was typed; keys typed before it are dropped. Otherwise as
 * many as fit are kept for shell_key(). */
bool shell_interrupted(void);
/* How many keys did not fit since this was asked last. */
u32 shell_keys_lost(void);

/* --- line.c --------------------------------------------------------------- */

/* Print the prompt and read one line, without its line end; false: Ctrl-C cancelled it. */
bool line_read(const char *prompt, char *line, size_t size);

/* --- commands.c: the table; add your command there ------------------------ */

struct command {
	const char *name; /* one word or two */
	const char *arguments;
	int min_arguments, max_arguments;
	const char *help;
	void (*run)(int argc, char **argv); /* argv[0]: the first argument */
};

/* Execute one line, which is modified. */
void command_execute(char *line);

/* --- domains.c ------------------------------------------------------------ */

void domains_command(int argc, char **argv);
void destroy_command(int argc, char **argv);
void exits_command(int argc, char **argv);
/* Find the domain with this name or id. If there is none, or it is dying, print that and return
 * false. */
bool find_domain(const char *name, struct weir_domain_info *info);
/* The name of the domain with this id, for a table: "-" for 0, "?" if it is gone. */
const char *domain_name(u16 id);

/* --- console.c ------------------------------------------------------------ */

void console_command(int argc, char **argv);

/* --- screen.c ------------------------------------------------------------- */

void screen_command(int argc, char **argv);

/* --- devices.c ------------------------------------------------------------ */

void devices_command(int argc, char **argv);
void attach_command(int argc, char **argv);
void detach_command(int argc, char **argv);
void rescan_command(int argc, char **argv);
/* Find the device with this address: bus:device.function as lspci prints it, with or without a
 * segment. If there is none, print that and return false. */
bool find_device(const char *text, struct weir_device_info *info);

/* --- log.c, trace.c, memory.c --------------------------------------------- */

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
/* Parse the whole word, as decimal, or as hexadecimal after 0x. If it is not a number, print that
 * and return false. */
bool parse_number(const char *text, u64 *n);
