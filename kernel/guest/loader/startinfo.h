/* The start information of a guest: one block of its memory that holds all that a protocol tells a
 * kernel. In Multiboot and PVH it has the same parts, of different sizes:
 *
 *	structure | list of modules | memory map | strings
 */
#pragma once

#include <kernel/guest/loader/layout.h>
#include <kernel/guest/loader/load.h>

/* Sizes in bytes. */
struct start_format {
	u64 structure;
	u64 module, map_entry; /* of one entry of the list */
	u64 strings; /* beside the command lines */
	bool named_line; /* the command line begins with the image's name */
};

/* Where the block and its parts are, and how far it is written. */
struct start_info {
	gpaddr_t structure, modules, map, strings;
	const struct guest_memory *memory;
	gpaddr_t next_string;
	int err; /* the first error; nothing is written after it */
};

/* Find room for `size` bytes of start information, below 4 GiB and on a page boundary. -ENOSPC with
 * *error. */
int __must_check start_info_room(struct guest_layout *l, u64 size, gpaddr_t *gpa,
				 struct loader_error *error);
/* Find room for the block that the image's modules and command lines need. -ENOSPC with *error. */
int __must_check start_info_place(struct start_info *s, const struct start_format *f,
				  const struct guest_image *image, struct guest_layout *l,
				  struct loader_error *error);

/* Write `len` bytes of the block, and keep the error in s->err. */
void start_info_write(struct start_info *s, gpaddr_t gpa, const void *src, size_t len);
/* Write a string behind those that are there. Returns its address. */
gpaddr_t start_info_write_string(struct start_info *s, const char *string);
/* The same for a word and the text that follows it, which may be empty. They take
 * start_info_line_size() bytes. */
gpaddr_t start_info_write_line(struct start_info *s, const char *word, const char *text);
size_t start_info_line_size(const char *word, const char *text);
