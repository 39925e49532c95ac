/* The symbol table that the second link adds (tools/ksyms), absent in the first link:
 *
 *	u32 count
 *	u32 address - IMAGE_BASE, count times, in rising order
 *	u16 offset of the name in the names, count times
 *	the names, each with its NUL
 */
#include <kernel/core/symbols.h>

#include <kernel/core/image.h>
#include <kernel/core/paging.h>

struct ksyms {
	u32 count;
	u32 address[];
};

extern const struct ksyms ksyms_blob __attribute__((weak));

const char *symbol_find(u64 address, u64 *offset)
{
	const struct ksyms *t = &ksyms_blob;
	u32 low = 0, high, key;
	const u16 *name;

	if (!t || address < (u64)_text_start || address >= (u64)_text_end)
		return NULL;
	key = (u32)(address - IMAGE_BASE);
	for (high = t->count; low < high;) {
		u32 mid = (low + high) / 2;

		if (t->address[mid] <= key)
			low = mid + 1;
		else
			high = mid;
	}
	if (!low)
		return NULL;
	*offset = key - t->address[low - 1];
	name = (const u16 *)&t->address[t->count];
	return (const char *)&name[t->count] + name[low - 1];
}
