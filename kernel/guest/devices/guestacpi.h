/* The ACPI tables of a guest (ACPI 6.5). They describe hardware-reduced ACPI, so a guest expects no
 * SCI and no PM timer. Linux then does without PIC and PIT too; kernels that insist on these do not
 * look at that flag.
 *
 *	RSDP -> XSDT -> FADT -> DSDT    power-off, the PCI host bridge with its window, COM1
 *	             -> MADT            the vCPUs' local APICs; with legacy=on, an I/O APIC
 */
#pragma once

#include <kernel/guest/devices/pci/vwindow.h>
#include <kernel/lib/compiler.h>

/* In the BIOS area of a PC, where software searches if it was not given a pointer (5.2.5.1).
 * Reserved in the guest's memory map. */
#define GUEST_RSDP 0xe0000UL

/* Ports of the sleep and reset registers (4.8.3.7, 4.8.3.6). */
#define GUEST_SLEEP_CONTROL 0x600
#define GUEST_SLEEP_STATUS 0x601
#define GUEST_RESET 0x602
#define GUEST_RESET_VALUE 1
#define GUEST_SLP_TYP_S5 5

#define GUEST_ACPI_MAX 2048
/* Build all tables, to be copied to guest-physical address GUEST_RSDP; `legacy`: the guest has an
 * I/O APIC and a real-time clock; `high` is the window of 64-bit BARs. Returns their size in
 * bytes. */
size_t guestacpi_make(u8 buf[GUEST_ACPI_MAX], u32 nr_vcpus, bool legacy, struct vwindow high);
