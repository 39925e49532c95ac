/* Loads a domain's kernel and ramdisks in bounded steps. */
#include <kernel/guest/lifecycle/moduleload.h>

#include <kernel/core/log.h>
#include <kernel/guest/domain/domain.h>
#include <kernel/guest/lifecycle/modules.h>
#include <kernel/guest/loader/load.h>
#include <kernel/guest/memory/guestcopy.h>
#include <kernel/guest/memory/memory.h>
#include <kernel/lib/errno.h>
#include <kernel/mm/bootinfo.h>

/* Bytes written in one step, some tens of microseconds. To find a page takes longer than to copy
 * it. */
#define STEP_BYTES (64 * PAGE_SIZE)

/* The loader writes the same bytes each time it runs, so a load can be divided into parts: each
 * part skips what earlier parts have written, and leaves what lies beyond its end to the next
 * one. */
struct part {
	struct domain *domain;
	u64 from, end; /* bytes, counted over all writes */
	u64 at;
};

/* Which of the next len bytes are in this part: [*skip, *skip + the result). */
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
	int ret = n ? guest_write(&p->domain->vm.memory, gpa + skip, (const char *)src + skip, n) :
		      0;

	return ret ? ret : p->at > p->end ? -EAGAIN : 0;
}

static int zero_part(void *ctx, gpaddr_t gpa, u64 len)
{
	struct part *p = ctx;
	u64 skip, n = piece_of(p, len, &skip);
	int ret = n ? guest_zero(&p->domain->vm.memory, gpa + skip, n) : 0;

	return ret ? ret : p->at > p->end ? -EAGAIN : 0;
}

static int load_part(struct part *p, struct guest_entry *entry)
{
	struct guest_module ramdisk[BOOT_MAX_MODULES];
	const struct domain *d = p->domain;
	const struct module *kernel = d->kernel;
	const struct guest_memory memory = { p, write_part, zero_part };
	struct guest_image image = {
		.kernel = module_data(kernel),
		.kernel_len = module_size(kernel),
		.module = ramdisk,
		.name = d->name,
		.command_line = kernel->line.command_line,
		.ram = kernel->line.memory,
	};
	struct loader_error error;
	const char *protocol;
	int ret;

	for (u32 i = 0; i < modules_count(); i++) {
		struct module *m = module_at(i);

		if (!module_is_of(m, d, MODULE_RAMDISK))
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

int module_load_step(struct domain *d, u64 *done, struct guest_entry *entry)
{
	struct part part = { d, *done, *done + STEP_BYTES, 0 };
	int ret = load_part(&part, entry);

	if (ret != -EAGAIN)
		return ret;
	*done = part.end;
	return STEP_MORE;
}
