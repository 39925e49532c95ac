/* QEMU's e1000e, as far as the tests use it. Intel 82574 datasheet, 10.2. */
#pragma once

#include <tests/guests/guest.h>

#define NIC_ID 0x10d38086u
#define STATUS 0x08
#define ICS 0xc8
#define IMS 0xd0
#define IVAR 0xe4
#define CAUSE_TXQ0 (1u << 22)
#define TCTL 0x400
#define TCTL_EN 2u
#define TDBAL 0x3800
#define TDBAH 0x3804
#define TDLEN 0x3808
#define TDH 0x3810
#define TDT 0x3818

/* Transmit from an empty ring there: whoever writes TDT makes the NIC read descriptors. */
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
