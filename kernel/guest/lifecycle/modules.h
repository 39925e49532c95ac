/* GRUB's modules: the files of the domains, each with its line. The files of a domain that may be
 * restarted stay in memory until it ends. */
#pragma once

#include <kernel/guest/loader/modline.h>
#include <kernel/lib/step.h>

struct boot_info;
struct boot_module;
struct domain;

struct module {
	const struct boot_module *boot;
	struct module_line line;
	bool valid; /* its line has no error */
	bool used; /* a ramdisk that a domain was built with */
	bool kept; /* its memory is freed when the domain ends, which may be before boot does */
	u64 freed; /* frames of a kept module that are free already */
};

/* Parse all lines and log their errors. Returns the number of modules. Boot. */
u32 modules_init(const struct boot_info *info);
u32 modules_count(void);
struct module *module_at(u32 i);
const void *module_data(const struct module *m);
/* In bytes. */
u64 module_size(const struct module *m);
/* True if its line is of this kind and names d. */
bool module_is_of(const struct module *m, const struct domain *d, enum module_kind kind);
/* Keep the files of d, because it may be restarted. Boot. */
void modules_keep(const struct domain *d);
/* Free a bounded part of the memory of all other files; at last, log the ramdisks whose domain does
 * not exist. Boot, after the last domain is built. */
enum step modules_free_others_step(void);
/* d ends: free a bounded part of its files' memory. */
enum step modules_free_step(const struct domain *d);
