/* MSI-X of an assigned function (PCI Local Bus 3.0, 6.8.2): the capability, and the table, which is
 * in trapped pages of a BAR (vtrap.c). */
#pragma once

#include <kernel/lib/compiler.h>

struct pci_device;
struct vfunction;

/* The number of entries in the device's table; 0: it has no MSI-X. */
u32 vmsix_entries_of(const struct pci_device *d);
/* Read the device's capability, if it has one; the guest sees max entries at most. -ENOMEM;
 * -EINVAL: the table is not in the device's BARs. */
int __must_check vmsix_init(struct vfunction *f, u32 max);
/* Mask all entries of the device's table, whoever has written it: VMSIX_STEP of them at a time.
 * True: all are masked. Memory decoding is on, and MSI-X off. */
#define VMSIX_STEP 64u
bool __must_check vmsix_mask_step(struct vfunction *f);
/* Free the vectors' records. Nothing uses them. */
void vmsix_free(struct vfunction *f);

/* Read or write a dword of the capability; offset is in bytes from its start, mask says which bits
 * are written. The bus is locked. */
u32 vmsix_read(const struct vfunction *f, u8 offset);
void vmsix_write(struct vfunction *f, u8 offset, u32 value, u32 mask);
/* Read or write a dword of the table; offset is in bytes from its start. The bus is locked. */
u32 vmsix_table_read(const struct vfunction *f, u32 offset);
void vmsix_table_write(struct vfunction *f, u32 offset, u32 value);
/* Update the device's message control to match what the guest wrote and whether the function is
 * paused (irqstorm.h). The bus is locked. */
void vmsix_update_control(const struct vfunction *f);
/* The pause is over: let the device send again, and deliver what has been latched. The bus is
 * locked. */
void vmsix_resume(struct vfunction *f);
/* The remapping entry of vector i has come into force for the first time: let the device send it.
 * The bus is locked. */
void vmsix_open(struct vfunction *f, u32 i);
/* The pending bits that Weir has latched for vectors `first` to `first` + nr - 1. The bus is
 * locked. */
u64 vmsix_pending(const struct vfunction *f, u32 first, u32 nr);
/* Disable MSI-X in the device. */
void vmsix_disable(const struct vfunction *f);

/* The size of the device's table and of its pending bits in bytes; 0: the function has no MSI-X. */
u64 vmsix_table_size(const struct vfunction *f);
u64 vmsix_pba_size(const struct vfunction *f);
