/* GRUB's modules: the files of the domains, each with its line. A domain that may be started again keeps its files in memory
 * until it ends. */
#pragma once

#include <kernel/guest/loader/modline.h>
#include <kernel/lib/step.h>

struct boot_info;
struct boot_module;
struct domain;

struct module {
	const struct boot_module *boot;
	struct module_line line;
	bool valid; /* its line is */
	bool used; /* a ramdisk that a domain was built with */
	bool kept; /* its memory is the domain's to give back, which may end before boot does */
	u64 freed; /* frames of that */
};

/* Parse all lines, and say what is wrong with them; how many modules there are. Boot. */
u32 modules_init(const struct boot_info *info);
u32 modules_count(void);
struct module *module_at(u32 i);
const void *module_data(const struct module *m);
/* In bytes. */
u64 module_size(const struct module *m);
/* Its line names d. */
bool module_is_of(const struct module *m, const struct domain *d, enum module_kind kind);
/* d may be started again: keep its files. Boot. */
void modules_keep(const struct domain *d);
/* Give back the memory of all other files, and say which ramdisks were for nobody. Boot, after the last domain was built. */
void modules_free_others(void);
/* d ends: give back a bounded part of its files' memory. */
enum step modules_free_step(const struct domain *d);
