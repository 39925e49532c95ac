/* QEMU's edu device (docs/specs/edu.rst): a DMA engine that accesses any address, and an interrupt
 * that a register write raises. */
#pragma once

#include <tests/guests/guest.h>

#define EDU_ID 0x11e81234u /* vendor and device */
#define EDU_BYTES 4096u /* of its buffer */

/* Find the device and enable memory decoding and bus mastering. Returns its slot; 0: there is
 * none. */
u32 edu_find(void);
/* The same for the n-th edu device, from 0 on: the functions below are about that one then. */
u32 edu_use(u32 n);
/* Copy from memory to the device's buffer, or back; false if it does not end. QEMU's takes
 * about 100 ms. */
bool edu_read(u64 address, u32 bytes);
bool edu_write(u64 address, u32 bytes);
/* The same, but calls `meanwhile` before the device starts the transfer. */
bool edu_write_meanwhile(u64 address, u32 bytes, void (*meanwhile)(void));
void edu_bus_master(bool on);
/* Set the first bytes of the device's buffer, through `page`, which the guest owns. */
void edu_set(u8 *page, const void *data, u32 bytes);
/* The device's interrupt: set up its MSI, raise it, acknowledge it. */
void edu_msi(u64 address, u32 data);
void edu_msi_off(void);
void edu_raise(void);
void edu_acknowledge(void);
