/* The ramdisks of a guest: where they go in its memory. */
#include <kernel/guest/loader/ramdisk.h>

#include <kernel/lib/errno.h>

int ramdisks_place(struct guest_layout *l, const struct guest_image *image, gpaddr_t *gpa,
		   struct loader_error *error)
{
	if (image->nr_modules > GUEST_MAX_MODULES)
		return loader_fail(error, -ENOSPC,
				   "%u ramdisks, more than GUEST_MAX_MODULES (%u): join some",
				   image->nr_modules, GUEST_MAX_MODULES);
	for (u32 i = 0; i < image->nr_modules; i++) {
		u64 len = image->module[i].len;

		/* An empty one needs an address too. */
		if (!layout_place_high(l, len ? len : 1, &gpa[i]))
			return loader_fail(error, -ENOSPC,
					   "ramdisk %u of %llu KiB does not fit: of %llu KiB RAM, "
					   "%llu KiB are free in one piece beside the kernel; "
					   "give more mem=",
					   i, (unsigned long long)(len + 1023) >> 10,
					   (unsigned long long)l->ram >> 10,
					   (unsigned long long)layout_largest(l) >> 10);
	}
	return 0;
}

int ramdisks_write(const struct guest_image *image, const struct guest_memory *memory,
		   const gpaddr_t *gpa, struct loader_error *error)
{
	for (u32 i = 0; i < image->nr_modules; i++) {
		int err = memory->write(memory->ctx, gpa[i], image->module[i].data,
					image->module[i].len);

		if (err)
			return loader_fail(error, err,
					   "ramdisk %u: guest memory at %llx cannot be written: "
					   "error %d",
					   i, (unsigned long long)gpa[i], err);
	}
	return 0;
}
