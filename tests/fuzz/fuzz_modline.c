/* GRUB's module lines: any text is accepted, or refused with a message that names the word and the
 * fix.
 * sources: kernel/guest/loader/modline.c kernel/lib/pci_id.c
 */
#include <tests/fuzz/fuzz.h>
#include <tests/unit/modline_check.h>

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	char *line = malloc(size + 1);

	memcpy(line, data, size);
	line[size] = 0;
	check_modline(line);
	free(line);
	return 0;
}
