/* The registers of QEMU's e1000e that the tests use (Intel 82574 datasheet, 10.2). */
#pragma once

#include <tests/guests/guest.h>
#include <tests/guests/pci.h>

#define NIC_ID 0x10d38086u
#define STATUS 0x08
#define ICS 0xc8
#define IMS 0xd0
#define EIAC 0xdc /* causes that are cleared when their message is sent */
#define IVAR 0xe4
#define CAUSE_TXQ0 (1u << 22)
#define TCTL 0x400
#define TCTL_EN 2u
#define TDBAL 0x3800
#define TDBAH 0x3804
#define TDLEN 0x3808
#define TDH 0x3810
#define TDT 0x3818

/* Route transmit queue 0 to entry 0 of the MSI-X table, `entry`, with this address and data. MSI-X
 * must be enabled. */
static inline void nic_msix(volatile u8 *nic, volatile struct pci_msix_entry *entry, u64 address,
			    u32 data)
{
	entry->control = PCI_MSIX_ENTRY_MASKED;
	entry->address = (u32)address;
	entry->address_high = (u32)(address >> 32);
	entry->data = data;
	entry->control = 0;
	*(volatile u32 *)(nic + IVAR) = 8u << 8; /* valid, entry 0 */
	*(volatile u32 *)(nic + EIAC) = CAUSE_TXQ0;
}

/* Raise that interrupt. Automatic clearing (EIAC) also masks the cause, so this unmasks it
 * first. */
static inline void nic_raise(volatile u8 *nic)
{
	*(volatile u32 *)(nic + IMS) = CAUSE_TXQ0;
	*(volatile u32 *)(nic + ICS) = CAUSE_TXQ0;
}

/* Set up an empty transmit ring at this address. A write to TDT then makes the NIC read
 * descriptors. */
static inline void nic_transmit(volatile u8 *nic, u64 ring, u32 descriptors)
{
	*(volatile u32 *)(nic + TCTL) = 0;
	*(volatile u32 *)(nic + TDBAL) = (u32)ring;
	*(volatile u32 *)(nic + TDBAH) = (u32)(ring >> 32);
	*(volatile u32 *)(nic + TDLEN) = 16 * descriptors;
	*(volatile u32 *)(nic + TDH) = 0;
	*(volatile u32 *)(nic + TDT) = 0;
	*(volatile u32 *)(nic + TCTL) = TCTL_EN;
}
