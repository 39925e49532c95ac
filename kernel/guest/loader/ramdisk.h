/* The ramdisks of a guest: where they go in its memory. */
#pragma once

#include <kernel/guest/loader/layout.h>
#include <kernel/guest/loader/load.h>

/* Find room for all modules of the image, on pages of their own and as high as possible; gpa[i]
 * (GUEST_MAX_MODULES elements) gets the address of each. -ENOSPC with *error. */
int __must_check ramdisks_place(struct guest_layout *l, const struct guest_image *image,
				gpaddr_t *gpa, struct loader_error *error);
/* Write them. Returns 0, or what guest_memory returned, with *error. */
int __must_check ramdisks_write(const struct guest_image *image, const struct guest_memory *memory,
				const gpaddr_t *gpa, struct loader_error *error);
