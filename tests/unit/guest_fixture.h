/* For the loader tests: guest memory in a buffer that refuses accesses outside the guest's memory,
 * and small ELF files built on demand. */
#pragma once

#include "test.h"

#include <kernel/guest/loader/elf.h>
#include <kernel/guest/loader/load.h>
#include <kernel/guest/memory/guestmap.h>
#include <kernel/lib/errno.h>

#define FILL 0xcc /* content of memory that nobody has written */

struct fixture {
	u8 *ram;
	u64 size;
	u64 writes;
};

static inline void fixture_init(struct fixture *f, u64 size)
{
	if (f->size != size) {
		free(f->ram);
		f->ram = malloc(size);
	} else if (!f->writes) {
		return;
	}
	memset(f->ram, FILL, size);
	f->size = size;
	f->writes = 0;
}

static inline void fixture_free(struct fixture *f)
{
	free(f->ram);
	*f = (struct fixture){ 0 };
}

static inline bool fixture_usable(const struct fixture *f, gpaddr_t gpa, u64 len)
{
	return gpa <= f->size && len <= f->size - gpa &&
	       (gpa >= GUEST_HIGH_START || gpa + len <= GUEST_LOW_END || !len);
}

static inline int fixture_write(void *ctx, gpaddr_t gpa, const void *src, size_t len)
{
	struct fixture *f = ctx;

	assert_true(fixture_usable(f, gpa, len));
	memcpy(f->ram + gpa, src, len);
	f->writes++;
	return 0;
}

static inline int fixture_zero(void *ctx, gpaddr_t gpa, u64 len)
{
	struct fixture *f = ctx;

	assert_true(fixture_usable(f, gpa, len));
	memset(f->ram + gpa, 0, len);
	f->writes++;
	return 0;
}

static inline struct guest_memory fixture_memory(struct fixture *f)
{
	return (struct guest_memory){ f, fixture_write, fixture_zero };
}

static inline bool all_bytes(const u8 *p, u64 len, u8 value)
{
	for (u64 i = 0; i < len; i++)
		if (p[i] != value)
			return false;
	return true;
}

/* One printable line that is not truncated. */
static inline void check_message(const struct loader_error *e)
{
	assert_in_range(strnlen(e->text, sizeof(e->text)), 10, sizeof(e->text) - 2);
	for (const char *p = e->text; *p; p++)
		assert_in_range(*p, ' ', '~');
}

#define MAX_SEGMENTS 8
struct made_segment {
	u32 type;
	u64 vaddr, paddr, file_size, mem_size, align;
	const u8 *data; /* NULL: generated */
};

/* An executable; segment data begins right after the program headers. *len gets its size; free()
 * it. */
static inline u8 *make_elf(bool is64, u64 entry, const struct made_segment *s, u32 nr, u64 *len)
{
	u64 header = is64 ? 64 : 52, phsize = is64 ? 56 : 32, at = header + nr * phsize;
	u8 *file;

	*len = at;
	for (u32 i = 0; i < nr; i++)
		*len += s[i].file_size;
	file = calloc(1, *len);
	memcpy(file, "\177ELF", 4);
	file[4] = is64 ? 2 : 1;
	file[5] = 1;
	file[6] = 1;
	*(u16 *)(file + 16) = 2;
	*(u16 *)(file + 18) = is64 ? 62 : 3;
	*(u32 *)(file + 20) = 1;
	if (is64) {
		*(u64 *)(file + 24) = entry;
		*(u64 *)(file + 32) = header;
		*(u16 *)(file + 54) = phsize;
		*(u16 *)(file + 56) = nr;
	} else {
		*(u32 *)(file + 24) = entry;
		*(u32 *)(file + 28) = header;
		*(u16 *)(file + 42) = phsize;
		*(u16 *)(file + 44) = nr;
	}
	for (u32 i = 0; i < nr; i++) {
		u8 *p = file + header + i * phsize;

		if (is64) {
			u64 v[] = {
				at,	   s[i].vaddr, s[i].paddr, s[i].file_size, s[i].mem_size,
				s[i].align
			};

			*(u32 *)p = s[i].type;
			memcpy(p + 8, v, sizeof(v));
		} else {
			u32 v[] = { s[i].type,	   at, s[i].vaddr, s[i].paddr, s[i].file_size,
				    s[i].mem_size, 7,  s[i].align };

			memcpy(p, v, sizeof(v));
		}
		for (u64 k = 0; k < s[i].file_size; k++)
			file[at + k] = s[i].data ? s[i].data[k] : (u8)(i * 31 + k * 7 + 1);
		at += s[i].file_size;
	}
	return file;
}
