/* See kernel/guest/loader/guest.h. */
#include <kernel/lib/errno.h>
#include <kernel/guest/loader/elf.h>
#include <kernel/guest/loader/guest.h>
#include <kernel/lib/string.h>

/* Multiboot first, as other loaders do it: a kernel that offers both starts the same way
 * everywhere. */
static const struct boot_protocol *const protocols[] = { &multiboot1_protocol, &pvh_protocol,
							 &linux_protocol };

void loader_say(struct loader_error *e, const char *fmt, ...)
{
	__builtin_va_list ap;

	__builtin_va_start(ap, fmt);
	vsnprintf(e->text, sizeof(e->text), fmt, ap);
	__builtin_va_end(ap);
}

int guest_load(const struct guest_image *image, const struct guest_memory *memory,
	       struct guest_entry *entry, const char **protocol, struct loader_error *error)
{
	for (size_t i = 0; i < ARRAY_SIZE(protocols); i++) {
		if (!protocols[i]->recognize(image))
			continue;
		*protocol = protocols[i]->name;
		return protocols[i]->load(image, memory, entry, error);
	}
	*protocol = NULL;
	if (elf_has_magic(image->kernel, image->kernel_len))
		return loader_fail(error, -ENOENT,
				   "an ELF file without a Multiboot header (in its first 8 KiB) and without a PVH entry (ELF note 18 of \"Xen\"): link one of them in");
	return loader_fail(error, -ENOENT,
			   "not a kernel that Weir can start: no bzImage, no ELF file, and no Multiboot header in its first 8 KiB");
}

int place_modules(struct guest_layout *l, const struct guest_image *image, gpaddr_t *gpa,
		  struct loader_error *error)
{
	if (image->nr_modules > GUEST_MAX_MODULES)
		return loader_fail(error, -ENOSPC, "%u ramdisks; at most %u can be given: join some",
				   image->nr_modules, GUEST_MAX_MODULES);
	for (u32 i = 0; i < image->nr_modules; i++) {
		u64 len = image->module[i].len;

		/* An empty one needs an address too. */
		if (!layout_place_high(l, len ? len : 1, &gpa[i]))
			return loader_fail(error, -ENOSPC,
					   "ramdisk %u of %llu KiB does not fit: of %llu KiB RAM, %llu KiB are free in one piece beside the kernel; give more mem=",
					   i, (unsigned long long)(len + 1023) >> 10,
					   (unsigned long long)l->ram >> 10,
					   (unsigned long long)layout_largest(l) >> 10);
	}
	return 0;
}

int write_modules(const struct guest_image *image, const struct guest_memory *memory,
		  const gpaddr_t *gpa, struct loader_error *error)
{
	for (u32 i = 0; i < image->nr_modules; i++) {
		int err = memory->write(memory->ctx, gpa[i], image->module[i].data,
					image->module[i].len);

		if (err)
			return loader_fail(error, err,
					   "ramdisk %u: guest memory at %llx can not be written: error %d",
					   i, (unsigned long long)gpa[i], err);
	}
	return 0;
}
