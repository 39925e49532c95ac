/* GRUB's modules: the files of the domains, each with its line. A domain that may be started again keeps its files in memory
 * until it ends. */
#pragma once

#include <kernel/guest/loader/modline.h>
#include <kernel/lib/step.h>

struct boot_info;
struct boot_module;
struct domain;
struct guest_entry;

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
struct module *module_at(u32 i);
/* Load d->kernel and the ramdisks of d, whose memory is zero. What is wrong is said in one line of the log. Boot. */
bool __must_check modules_load(struct domain *d, struct guest_entry *entry);
/* The same in bounded parts: *done (first 0) is how far it is. A step (STEP_DONE: *entry is valid), or the error, which was
 * said. */
int __must_check modules_load_step(struct domain *d, u64 *done, struct guest_entry *entry);
/* d may be started again: keep its files. Boot. */
void modules_keep(const struct domain *d);
/* Give back the memory of all other files, and say which ramdisks were for nobody. Boot, after the last domain was built. */
void modules_free_others(void);
/* d ends: give back a bounded part of its files' memory. */
enum step modules_free_step(const struct domain *d);
