/* The start information of a guest: where its block and its parts go, and how they are written. */
#include <kernel/guest/loader/startinfo.h>

#include <kernel/guest/memory/guestmap.h>
#include <kernel/lib/errno.h>
#include <kernel/lib/string.h>

int start_info_room(struct guest_layout *l, u64 size, gpaddr_t *gpa, struct loader_error *error)
{
	if (layout_place_low(l, size, gpa))
		return 0;
	return loader_fail(error, -ENOSPC,
			   "the start information of %llu bytes does not fit: "
			   "%llu KiB are free in one piece; give more mem=",
			   (unsigned long long)size, (unsigned long long)layout_largest(l) >> 10);
}

int start_info_place(struct start_info *s, const struct start_format *f,
		     const struct guest_image *image, struct guest_layout *l,
		     struct loader_error *error)
{
	u64 modules = f->structure, map = modules + image->nr_modules * f->module,
	    strings = map + GUEST_MAP_ENTRIES * f->map_entry, size = strings + f->strings;
	gpaddr_t base;
	int err;

	size += f->named_line ? start_info_line_size(image->name, image->command_line) :
				strlen(image->command_line) + 1;
	for (u32 i = 0; i < image->nr_modules; i++)
		size += strlen(image->module[i].command_line) + 1;
	err = start_info_room(l, size, &base, error);
	if (err)
		return err;
	*s = (struct start_info){
		.structure = base,
		.modules = base + modules,
		.map = base + map,
		.strings = base + strings,
		.next_string = base + strings,
	};
	return 0;
}

void start_info_write(struct start_info *s, gpaddr_t gpa, const void *src, size_t len)
{
	if (!s->err)
		s->err = s->memory->write(s->memory->ctx, gpa, src, len);
}

gpaddr_t start_info_write_string(struct start_info *s, const char *string)
{
	gpaddr_t at = s->next_string;
	size_t len = strlen(string) + 1;

	start_info_write(s, at, string, len);
	s->next_string += len;
	return at;
}

gpaddr_t start_info_write_line(struct start_info *s, const char *word, const char *text)
{
	gpaddr_t at = s->next_string;
	size_t len = strlen(word);

	if (!*text)
		return start_info_write_string(s, word);
	start_info_write(s, at, word, len);
	start_info_write(s, at + len, " ", 1);
	s->next_string += len + 1;
	(void)start_info_write_string(s, text);
	return at;
}

size_t start_info_line_size(const char *word, const char *text)
{
	return strlen(word) + (*text ? 1 + strlen(text) : 0) + 1;
}
