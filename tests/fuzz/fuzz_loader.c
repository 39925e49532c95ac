/* Guest kernels, by Multiboot, by PVH and by Linux's protocol: whatever the file contains, only the
 * guest's own RAM is written. A kernel that loads is complete, and does not overlap its modules and
 * start structures. A kernel that does not load leaves memory unchanged, and the message says why.
 *
 * An input is a byte for the guest's RAM, a byte for the ramdisks, a byte for the command line, and
 * the file. Multiboot headers get a correct checksum.
 *
 * sources: kernel/guest/loader/load.c kernel/guest/loader/elf.c kernel/guest/loader/layout.c
 * sources: kernel/guest/loader/ramdisk.c kernel/guest/loader/startinfo.c
 * sources: kernel/guest/loader/multiboot1.c kernel/guest/loader/pvh.c
 * sources: kernel/guest/loader/linux.c kernel/guest/memory/guestmap.c kernel/lib/rangeset.c
 */
#include <tests/fuzz/fuzz.h>
#include <tests/unit/guest_check.h>

#define MAGIC 0x1badb002u
#define MAX_COMMAND_LINE 255

static void fix_headers(u8 *file, u64 len)
{
	for (u64 at = 0; at + 12 <= MIN(len, 8192UL); at += 4) {
		u32 h[3];

		memcpy(h, file + at, sizeof(h));
		if (h[0] != MAGIC)
			continue;
		h[2] = -(h[0] + h[1]);
		memcpy(file + at, h, sizeof(h));
	}
}

/* The flags of the header that is used: one with addresses must be complete. */
static u32 header_flags(const u8 *file, u64 len)
{
	u64 end = MIN(len, 8192UL);

	for (u64 at = 0; at + 12 <= end; at += 4) {
		u32 h[3];

		memcpy(h, file + at, sizeof(h));
		if (h[0] == MAGIC && !(h[0] + h[1] + h[2]) && (!(h[1] & BIT(16)) || at + 32 <= end))
			return h[1];
	}
	fail_msg("there is no Multiboot header");
	return 0;
}

/* Its payload, or as much of it as the header allows, is where the header says. */
static void check_bzimage(const struct fixture *f, const struct guest_image *image,
			  const struct guest_entry *entry)
{
	u64 sectors = image->kernel[0x1f1] ? image->kernel[0x1f1] : 4, size;
	u32 paragraphs, room;

	check_zero_page(f, image, entry);
	memcpy(&paragraphs, image->kernel + 0x1f4, 4);
	memcpy(&room, image->kernel + 0x260, 4);
	assert_true(fixture_usable(f, entry->eip, room));
	assert_memory_equal(image->kernel + 0x258, ((u64[]){ entry->eip }), 8);
	size = MIN(image->kernel_len - (sectors + 1) * 512, paragraphs * 16UL);
	assert_memory_equal(f->ram + entry->eip, image->kernel + (sectors + 1) * 512, size);
}

static void check_loaded(const struct fixture *f, const struct guest_image *image,
			 const struct guest_entry *entry, const char *protocol)
{
	struct loader_error ignored;
	struct elf elf;

	assert_true(fixture_usable(f, entry->eip, 1));
	if (!strcmp(protocol, "Multiboot")) {
		check_multiboot_information(f, image, entry);
		if (header_flags(image->kernel, image->kernel_len) & BIT(16))
			return;
	} else if (!strcmp(protocol, "Linux")) {
		check_bzimage(f, image, entry);
		return;
	} else {
		assert_string_equal(protocol, "PVH");
		check_start_info(f, image, entry);
	}
	assert_int_equal(elf_open(&elf, image->kernel, image->kernel_len, &ignored), 0);
	assert_true(elf_has_code_at(&elf, entry->eip));
	check_segments(f, &elf);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static struct fixture f;
	static u8 disk[80 << 10];
	struct input in = { data, data + size };
	u64 ram = (2UL << 20) + (take(&in, 1) << PAGE_SHIFT);
	u8 modules = (u8)take(&in, 1), letters = (u8)take(&in, 1);
	char line[MAX_COMMAND_LINE + 1] = "";
	struct guest_module module[GUEST_MAX_MODULES + 1];
	struct guest_memory memory;
	struct guest_entry entry;
	struct loader_error e;
	const char *protocol;
	struct guest_image image = {
		.module = module, .name = "k0", .command_line = line, .ram = ram
	};
	u8 *file = exact_copy(in.p, (size_t)(in.end - in.p));
	int err;

	memset(line, 'w', letters);
	image.kernel = file;
	image.kernel_len = (u64)(in.end - in.p);
	image.nr_modules = modules % (GUEST_MAX_MODULES + 2);
	for (u32 i = 0; i < image.nr_modules; i++) {
		disk[i] = (u8)(0xa0 + i);
		/* Down to an empty one. */
		module[i] = (struct guest_module){ disk + i,
						   (sizeof(disk) - i) * (modules / 16) / 16,
						   i % 2 ? "words" : "" };
	}
	fix_headers(file, image.kernel_len);
	fixture_init(&f, ram);
	memory = fixture_memory(&f);
	memset(&e, 0x7f, sizeof(e));
	err = guest_load(&image, &memory, &entry, &protocol, &e);
	if (err) {
		assert_true(err == -EINVAL || err == -ENOSPC || err == -ENOENT);
		check_message(&e);
		assert_int_equal(f.writes, 0);
	} else {
		check_loaded(&f, &image, &entry, protocol);
	}
	free(file);
	return 0;
}
