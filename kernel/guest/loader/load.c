/* Choice of the protocol by which a guest kernel is loaded. */
#include <kernel/guest/loader/load.h>

#include <kernel/guest/loader/elf.h>
#include <kernel/lib/errno.h>
#include <kernel/lib/string.h>

/* Multiboot first, as in other loaders: a kernel that offers both starts the same way
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

int loader_fail_write(struct loader_error *e, int err, gpaddr_t gpa)
{
	return loader_fail(e, err, "guest memory at %llx cannot be written: error %d",
			   (unsigned long long)gpa, err);
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
				   "an ELF file without a Multiboot header (in its first 8 KiB) "
				   "and without a PVH entry (ELF note 18 of \"Xen\"): "
				   "link one of them in");
	return loader_fail(error, -ENOENT,
			   "not a kernel that Weir can start: no bzImage, no ELF file, "
			   "and no Multiboot header in its first 8 KiB");
}
