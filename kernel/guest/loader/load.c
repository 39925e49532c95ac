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

/* The name of the format, if the file is compressed as a whole. A bzImage is not: it unpacks
 * itself. */
static const char *compression_of(const u8 *file, size_t len)
{
	static const struct {
		const char *name, *magic;
		size_t len;
	} formats[] = {
		{ "gzip", "\x1f\x8b", 2 },	  { "bzip2", "BZh", 3 },
		{ "xz", "\xfd\x37zXZ", 5 },	  { "zstd", "\x28\xb5\x2f\xfd", 4 },
		{ "lz4", "\x04\x22\x4d\x18", 4 }, { "lz4", "\x02\x21\x4c\x18", 4 },
		{ "lzop", "\x89LZO", 4 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(formats); i++)
		if (len >= formats[i].len && !memcmp(file, formats[i].magic, formats[i].len))
			return formats[i].name;
	return NULL;
}

int guest_load(const struct guest_image *image, const struct guest_memory *memory,
	       struct guest_entry *entry, const char **protocol, struct loader_error *error)
{
	const char *packed;

	for (size_t i = 0; i < ARRAY_SIZE(protocols); i++) {
		if (!protocols[i]->recognize(image))
			continue;
		*protocol = protocols[i]->name;
		return protocols[i]->load(image, memory, entry, error);
	}
	*protocol = NULL;
	packed = compression_of(image->kernel, image->kernel_len);
	if (packed)
		return loader_fail(
			error, -ENOENT,
			"the file is compressed by %s: unpack it first (GRUB does that "
			"itself for gzip, xz and lzop, after \"insmod gzio\", \"xzio\" or "
			"\"lzopio\")",
			packed);
	if (elf_has_magic(image->kernel, image->kernel_len))
		return loader_fail(error, -ENOENT,
				   "an ELF file without a Multiboot header (in its first 8 KiB) "
				   "and without a PVH entry (ELF note 18 of \"Xen\"): "
				   "link one of them in");
	return loader_fail(error, -ENOENT,
			   "not a kernel that Weir can start: no bzImage, no ELF file, "
			   "and no Multiboot header in its first 8 KiB");
}
