/* GRUB's list of tags: tags with wrong lengths are reported and ignored, and all results point into
 * the list.
 * sources: boot/multiboot2.c
 */
#include <tests/fuzz/fuzz.h>
#include <tests/unit/multiboot2_check.h>

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static struct boot_info info;
	u8 *copy = exact_copy(data, size);

	(void)check_multiboot2(copy, size, &info);
	free(copy);
	return 0;
}
