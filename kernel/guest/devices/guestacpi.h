/* The ACPI tables of a guest (ACPI 6.5): hardware-reduced, so there is no SCI, no PM timer, no PIC and no PIT to look for.
 *
 *	RSDP -> XSDT -> FADT -> DSDT    power-off, the PCI host bridge with its window, COM1
 *	             -> MADT            the vCPUs' local APICs; no I/O APIC, devices have MSI
 */
#pragma once

#include <kernel/lib/compiler.h>

struct domain;

/* Where a PC has its BIOS, and software without a better pointer searches (5.2.5.1): reserved in the guest's memory map. */
#define GUEST_RSDP 0xe0000UL

/* Ports of the sleep and reset registers (4.8.3.7, 4.8.3.6). */
#define GUEST_SLEEP_CONTROL 0x600
#define GUEST_SLEEP_STATUS 0x601
#define GUEST_RESET 0x602
#define GUEST_RESET_VALUE 1
#define GUEST_SLP_TYP_S5 5

/* Windows for memory BARs: kernel/guest/devices/pci/vpcibar.c places them there. */
#define GUEST_PCI_WINDOW_START 0xe0000000UL
#define GUEST_PCI_WINDOW_END 0xfec00000UL

#define GUEST_ACPI_MAX 2048
/* Make all tables as they lie from GUEST_RSDP on; returns their size. */
size_t guestacpi_make(u8 buf[GUEST_ACPI_MAX], u32 nr_vcpus);

/* --- kernel/guest/devices/guestpower.c -------------------------------------------------------------------------------------------------------- */

/* Where a PC begins after its reset: code that resets it again. */
#define GUEST_RESET_VECTOR 0xffff0UL
/* Write both into the memory of a domain that has not started. Logs what failed. */
int __must_check guestfirmware_write(struct domain *d, u32 nr_vcpus);
/* Answer the ports of a new domain by which it is switched off or reset. */
int __must_check guestpower_init(struct domain *d);
