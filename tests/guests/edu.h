/* QEMU's edu device (docs/specs/edu.rst): a DMA engine that reads and writes where it is told, and
 * an interrupt at the write of a register. */
#pragma once

#include <tests/guests/guest.h>

#define EDU_ID 0x11e81234u /* vendor and device */
#define EDU_BYTES 4096u /* of its buffer */

/* Its place on the bus, with memory decoding and bus mastering on; 0: there is none. */
u32 edu_find(void);
/* Copy between its buffer and memory; false if it does not come to an end. Some 100 ms. */
bool edu_read(u64 address, u32 bytes);
bool edu_write(u64 address, u32 bytes);
/* The same, with something done before the device gets to it. */
bool edu_write_meanwhile(u64 address, u32 bytes, void (*meanwhile)(void));
void edu_bus_master(bool on);
/* The first bytes of its buffer, by way of `page`, which is the guest's own. */
void edu_set(u8 *page, const void *data, u32 bytes);
/* Its interrupt: a message as the guest sets it up, raised, and acknowledged. */
void edu_msi(u64 address, u32 data);
void edu_msi_off(void);
void edu_raise(void);
void edu_acknowledge(void);
