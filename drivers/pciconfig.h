/* Access to PCI configuration space, by ECAM or by I/O ports. */
#pragma once

#include <kernel/lib/compiler.h>

/* Read the firmware's MCFG table, which says where ECAM is. Boot, before any access. */
void pci_config_init(void);

/* Offsets in bytes, naturally aligned; beyond 255 only where there is ECAM. Absent functions read
 * as all ones. Any context. */
u8 pci_config_read8(u16 segment, u16 bdf, u16 offset);
u16 pci_config_read16(u16 segment, u16 bdf, u16 offset);
u32 pci_config_read32(u16 segment, u16 bdf, u16 offset);
void pci_config_write8(u16 segment, u16 bdf, u16 offset, u8 value);
void pci_config_write16(u16 segment, u16 bdf, u16 offset, u16 value);
void pci_config_write32(u16 segment, u16 bdf, u16 offset, u32 value);
/* True if a function answers there. Virtual functions do not: they have no vendor id. */
bool pci_exists(u16 segment, u16 bdf);

/* The segment of ECAM window `index`, counted from 0; false if there are no more. Without ECAM
 * there is one, segment 0. Several windows may be of one segment. */
bool pci_config_segment(u32 index, u16 *segment);
/* True if there is an ECAM window. */
bool pci_has_ecam(void);

struct rangeset;
/* Add the frames of all ECAM windows to s. -ENOSPC. */
int __must_check pci_add_ecam(struct rangeset *s);
/* True if [first, last], in bytes, overlaps an ECAM window. */
bool pci_ecam_overlaps(paddr_t first, paddr_t last);
