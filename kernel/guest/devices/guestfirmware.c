/* Writes the parts of a PC's firmware that a guest finds in memory. See guestfirmware.h.
 *
 * A jump to the reset vector in real mode starts a PC's firmware. Linux uses it as its last resort
 * to reboot a machine that has hardware-reduced ACPI and no EFI.
 */
#include <kernel/guest/devices/guestfirmware.h>

#include <kernel/core/log.h>
#include <kernel/guest/devices/guestacpi.h>
#include <kernel/guest/domain/domain.h>
#include <kernel/guest/memory/guestcopy.h>
#include <kernel/guest/memory/memory.h>

/* mov dx, GUEST_RESET; mov al, GUEST_RESET_VALUE; out dx, al; hlt */
static const u8 reset_code[] = { 0xba, GUEST_RESET & 0xff, GUEST_RESET >> 8,
				 0xb0, GUEST_RESET_VALUE,  0xee,
				 0xf4 };

int guestfirmware_write(struct domain *d, u32 nr_vcpus)
{
	u8 tables[GUEST_ACPI_MAX];
	size_t size = guestacpi_make(tables, nr_vcpus, vwindow_above_ram(d), d->legacy);
	struct memory *m = &d->vm.memory;
	int ret = guest_write(m, GUEST_RSDP, tables, size);

	if (!ret)
		ret = guest_write(m, GUEST_RESET_VECTOR, reset_code, sizeof(reset_code));
	if (ret)
		log_err("domain %s: its firmware tables cannot be written: error %d", d->name, ret);
	return ret;
}
