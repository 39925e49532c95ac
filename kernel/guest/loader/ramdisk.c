/* The ramdisks of a guest: where they go in its memory. */
#include <kernel/guest/loader/ramdisk.h>

#include <kernel/lib/errno.h>

/* Because of where the kernel looks for it, or for want of memory? */
static int fail_place(const struct guest_layout *l, u32 i, u64 len, struct loader_error *error)
{
	unsigned long long kib = (len + 1023) >> 10, free = layout_largest(l) >> 10;

	if (l->limit && l->limit < l->ram)
		return loader_fail(error, -ENOSPC,
				   "ramdisk %u of %llu KiB does not fit below %llu KiB, where this "
				   "kernel looks for it: %llu KiB are free there in one piece; "
				   "make it smaller, more mem= does not help",
				   i, kib, (unsigned long long)l->limit >> 10, free);
	return loader_fail(error, -ENOSPC,
			   "ramdisk %u of %llu KiB does not fit: of %llu KiB RAM, %llu KiB are "
			   "free in one piece beside the kernel; give more mem=",
			   i, kib, (unsigned long long)l->ram >> 10, free);
}

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
			return fail_place(l, i, len, error);
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
