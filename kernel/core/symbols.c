/* The table that the second link adds (tools/ksyms): u32 count, count times {u32 address -
 * IMAGE_BASE, u32 offset of the name in the names}, sorted by address, then the names. Absent in
 * the first link. */
#include <kernel/core/paging.h>
#include <kernel/core/symbols.h>

struct ksym {
	u32 offset;
	u32 name;
};

struct ksyms {
	u32 count;
	struct ksym sym[];
};

extern const struct ksyms ksyms_blob __attribute__((weak));
extern const u8 _text_start[], _text_end[];

const char *symbol_find(u64 address, u64 *offset)
{
	const struct ksyms *t = &ksyms_blob;
	u32 low = 0, high, key;

	if (!t || address < (u64)_text_start || address >= (u64)_text_end)
		return NULL;
	key = (u32)(address - IMAGE_BASE);
	for (high = t->count; low < high;) {
		u32 mid = (low + high) / 2;

		if (t->sym[mid].offset <= key)
			low = mid + 1;
		else
			high = mid;
	}
	if (!low)
		return NULL;
	*offset = key - t->sym[low - 1].offset;
	return (const char *)&t->sym[t->count] + t->sym[low - 1].name;
}
