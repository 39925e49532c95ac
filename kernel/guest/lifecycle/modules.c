/* The files that GRUB has loaded: their lines and their memory. */
#include <kernel/guest/lifecycle/modules.h>

#include <kernel/core/log.h>
#include <kernel/core/paging.h>
#include <kernel/guest/domain/domain.h>
#include <kernel/lib/string.h>
#include <kernel/mm/alloc.h>
#include <kernel/mm/bootinfo.h>

/* Frames freed in one step, some tens of microseconds. */
#define STEP_FRAMES 512UL

static struct module modules[BOOT_MAX_MODULES];
static u32 nr_modules;

const void *module_data(const struct module *m)
{
	return phys_to_virt(m->boot->start);
}

u64 module_size(const struct module *m)
{
	return m->boot->end - m->boot->start;
}

u32 modules_init(const struct boot_info *info)
{
	nr_modules = info->nr_modules;
	for (u32 i = 0; i < nr_modules; i++) {
		struct module_error error;

		modules[i].boot = &info->module[i];
		modules[i].valid = !modline_parse(info->module[i].line, &modules[i].line, &error);
		if (!modules[i].valid)
			log_err("module %u: %s", i, error.text);
	}
	return nr_modules;
}

u32 modules_count(void)
{
	return nr_modules;
}

struct module *module_at(u32 i)
{
	return &modules[i];
}

bool module_is_of(const struct module *m, const struct domain *d, enum module_kind kind)
{
	return m->valid && m->line.kind == kind && !strcmp(m->line.domain, d->name);
}

/* --- the files' memory ---------------------------------------------------- */

static mfn_t first_frame(const struct module *m)
{
	return m->boot->start >> PAGE_SHIFT;
}

/* GRUB loads modules at page boundaries, so no two share a frame. */
static u64 frames(const struct module *m)
{
	return (ALIGN_UP(m->boot->end, PAGE_SIZE) >> PAGE_SHIFT) - first_frame(m);
}

static void say_if_unused(const struct module *m, u32 i)
{
	if (m->valid && m->line.kind == MODULE_RAMDISK && !m->used)
		log_err("module %u: ramdisk=%s: no domain of this name was built; "
			"name its kernel with name=%s",
			i, m->line.domain, m->line.domain);
}

void modules_keep(const struct domain *d)
{
	for (u32 i = 0; i < nr_modules; i++)
		if (&modules[i] == d->kernel || module_is_of(&modules[i], d, MODULE_RAMDISK))
			modules[i].kept = true;
}

/* Free a bounded part of the file. False: all of it is free. */
static bool free_part(struct module *m)
{
	u64 nr = MIN(frames(m) - m->freed, STEP_FRAMES);

	if (!nr)
		return false;
	alloc_add(first_frame(m) + m->freed, nr);
	m->freed += nr;
	return true;
}

enum step modules_free_others_step(void)
{
	for (u32 i = 0; i < nr_modules; i++)
		if (!modules[i].kept && free_part(&modules[i]))
			return STEP_MORE;
	for (u32 i = 0; i < nr_modules; i++)
		say_if_unused(&modules[i], i);
	return STEP_DONE;
}

enum step modules_free_step(const struct domain *d)
{
	for (u32 i = 0; i < nr_modules; i++)
		if (modules[i].kept && !strcmp(modules[i].line.domain, d->name) &&
		    free_part(&modules[i]))
			return STEP_MORE;
	return STEP_DONE;
}
