#include <kernel/guest/lifecycle/modules.h>

#include <kernel/mm/bootinfo.h>
#include <kernel/mm/alloc.h>
#include <kernel/guest/domain/domain.h>
#include <kernel/lib/errno.h>
#include <kernel/guest/loader/guest.h>
#include <kernel/core/log.h>
#include <kernel/guest/memory/guestcopy.h>
#include <kernel/guest/memory/memory.h>
#include <kernel/core/paging.h>
#include <kernel/lib/string.h>

/* Of loading and of giving back, in one step: some tens of microseconds. */
#define STEP_BYTES (512 * PAGE_SIZE)
#define STEP_FRAMES 512UL

static struct module modules[BOOT_MAX_MODULES];
static u32 nr_modules;

static const void *module_data(const struct module *m)
{
	return phys_to_virt(m->boot->start);
}

static u64 module_size(const struct module *m)
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

struct module *module_at(u32 i)
{
	return &modules[i];
}

/* --- loading ------------------------------------------------------------------------------------------------------------------ */

static bool is_of(const struct module *m, const struct domain *d, enum module_kind kind)
{
	return m->valid && m->line.kind == kind && !strcmp(m->line.domain, d->name);
}

/* A load does the same each time. So it can be cut into parts: what was written before is passed over, what lies beyond the
 * part's end is left for the next one. */
struct part {
	struct domain *domain;
	u64 from, end; /* bytes, counted over all writes */
	u64 at;
};

/* The piece of the next len bytes that is in the part: [*skip, *skip + the result). */
static u64 piece_of(struct part *p, u64 len, u64 *skip)
{
	u64 first = MAX(p->at, p->from), end = MIN(p->at + len, p->end), start = p->at;

	p->at += len;
	*skip = first - start;
	return end > first ? end - first : 0;
}

static int write_part(void *ctx, gpaddr_t gpa, const void *src, size_t len)
{
	struct part *p = ctx;
	u64 skip, n = piece_of(p, len, &skip);
	int ret = n ? guest_write(&p->domain->vm.memory, gpa + skip, (const char *)src + skip, n) : 0;

	return ret ? ret : p->at > p->end ? -EAGAIN : 0;
}

static int zero_part(void *ctx, gpaddr_t gpa, u64 len)
{
	struct part *p = ctx;
	u64 skip, n = piece_of(p, len, &skip);
	int ret = n ? guest_zero(&p->domain->vm.memory, gpa + skip, n) : 0;

	return ret ? ret : p->at > p->end ? -EAGAIN : 0;
}

static int load(struct part *p, struct guest_entry *entry)
{
	struct guest_module ramdisk[BOOT_MAX_MODULES];
	const struct domain *d = p->domain;
	const struct module *kernel = d->kernel;
	const struct guest_memory memory = { p, write_part, zero_part };
	struct guest_image image = {
		.kernel = module_data(kernel),
		.kernel_len = module_size(kernel),
		.module = ramdisk,
		.command_line = kernel->line.command_line,
		.ram = kernel->line.memory,
	};
	struct loader_error error;
	const char *protocol;
	int ret;

	for (u32 i = 0; i < nr_modules; i++) {
		struct module *m = &modules[i];

		if (!is_of(m, d, MODULE_RAMDISK))
			continue;
		m->used = true;
		ramdisk[image.nr_modules++] = (struct guest_module){
			.data = module_data(m),
			.len = module_size(m),
			.command_line = m->line.command_line,
		};
	}
	ret = guest_load(&image, &memory, entry, &protocol, &error);
	if (ret && ret != -EAGAIN)
		log_err("domain %s: its kernel cannot be loaded: %s", d->name, error.text);
	if (!ret)
		log_info("domain %s: kernel by %s, entry 0x%x, %u module%s", d->name, protocol,
			 entry->eip, image.nr_modules, image.nr_modules == 1 ? "" : "s");
	return ret;
}

bool modules_load(struct domain *d, struct guest_entry *entry)
{
	struct part whole = { d, 0, ~0UL, 0 };

	return !load(&whole, entry);
}

int modules_load_step(struct domain *d, u64 *done, struct guest_entry *entry)
{
	struct part part = { d, *done, *done + STEP_BYTES, 0 };
	int ret = load(&part, entry);

	if (ret != -EAGAIN)
		return ret;
	*done = part.end;
	return STEP_MORE;
}

/* --- the files' memory ---------------------------------------------------------------------------------------------------------- */

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
		log_err("module %u: ramdisk=%s: no domain of this name was built: say name=%s on its kernel's line",
			i, m->line.domain, m->line.domain);
}

void modules_keep(const struct domain *d)
{
	for (u32 i = 0; i < nr_modules; i++)
		if (&modules[i] == d->kernel || is_of(&modules[i], d, MODULE_RAMDISK))
			modules[i].kept = true;
}

void modules_free_others(void)
{
	for (u32 i = 0; i < nr_modules; i++) {
		say_if_unused(&modules[i], i);
		if (!modules[i].kept)
			alloc_add(first_frame(&modules[i]), frames(&modules[i]));
	}
}

enum step modules_free_step(const struct domain *d)
{
	for (u32 i = 0; i < nr_modules; i++) {
		struct module *m = &modules[i];
		u64 nr;

		if (!m->kept || m->freed == frames(m) || strcmp(m->line.domain, d->name))
			continue;
		nr = MIN(frames(m) - m->freed, STEP_FRAMES);
		alloc_add(first_frame(m) + m->freed, nr);
		m->freed += nr;
		return STEP_MORE;
	}
	return STEP_DONE;
}
