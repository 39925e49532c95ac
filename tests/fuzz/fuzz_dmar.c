/* DMAR tables: whatever the firmware says, no device is assigned to the wrong unit, and no device
 * with reserved memory is taken for one without.
 * sources: iommu/dmar.c
 */
#include <tests/fuzz/fuzz.h>
#include <tests/unit/dmar_check.h>

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static struct dmar d;
	u8 *table = exact_copy(data, size);

	if (!dmar_parse(table, size, bridge, &d))
		check_dmar(table, size, &d);
	free(table);
	return 0;
}
