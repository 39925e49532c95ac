/* Writes the parts of a PC's firmware that a guest finds in memory. See guestfirmware.h.
 *
 * A jump to the reset vector in real mode starts a PC's firmware. Linux uses it as its last resort
 * to reboot a machine that has hardware-reduced ACPI and no EFI.
 */
#include <kernel/guest/devices/guestfirmware.h>

#include <kernel/core/log.h>
#include <kernel/guest/devices/guestacpi.h>
#include <kernel/guest/devices/guestmptable.h>
#include <kernel/guest/domain/domain.h>
#include <kernel/guest/memory/guestcopy.h>
#include <kernel/guest/memory/memory.h>
#include <kernel/guest/vcpu/cpuidcommon.h>

/* mov dx, GUEST_RESET; mov al, GUEST_RESET_VALUE; out dx, al; hlt */
static const u8 reset_code[] = { 0xba, GUEST_RESET & 0xff, GUEST_RESET >> 8,
				 0xb0, GUEST_RESET_VALUE,  0xee,
				 0xf4 };

static int write_acpi_tables(struct domain *d, u32 nr_vcpus)
{
	u8 tables[GUEST_ACPI_MAX];
	size_t size = guestacpi_make(tables, nr_vcpus, d->legacy, vwindow_above_ram(d));

	return guest_write(&d->vm.memory, GUEST_RSDP, tables, size);
}

static int write_mp_table(struct domain *d, u32 nr_vcpus)
{
	u8 table[GUEST_MP_TABLE_MAX];
	size_t size = guestmptable_make(table, nr_vcpus, cpuid_common(1, 0));

	return guest_write(&d->vm.memory, GUEST_MP_TABLE, table, size);
}

int guestfirmware_write(struct domain *d, u32 nr_vcpus)
{
	int ret = write_acpi_tables(d, nr_vcpus);

	if (!ret && d->legacy)
		ret = write_mp_table(d, nr_vcpus);
	if (!ret)
		ret = guest_write(&d->vm.memory, GUEST_RESET_VECTOR, reset_code,
				  sizeof(reset_code));
	if (ret)
		log_err("domain %s: its firmware tables cannot be written: error %d", d->name, ret);
	return ret;
}
