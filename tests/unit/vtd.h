/* Software remapping units for the unit tests of iommu/: registers, a queue that is executed when the test says so, and
 * caches that keep what they may keep (VT-d chapter 6) until an invalidation takes it away. Behind them a machine of 4 GiB
 * whose lower part has an allocator, and work items that run when the test says so. */
#pragma once

#include <iommu/iommu.h>

#define VTD_UNITS 2
#define VTD_DEVICE_0 ((struct pci_id){ 0, PCI_BDF(0, 3, 0) }) /* behind unit 0 */
#define VTD_DEVICE_1 ((struct pci_id){ 0, PCI_BDF(0, 4, 0) }) /* behind unit 1 */

/* Two devices behind unit 1 for which the firmware reserves the same frames, which are no RAM. */
#define VTD_RESERVED_DEVICE(i) ((struct pci_id){ 0, PCI_BDF(0, 5 + (i), 0) })
#define VTD_RESERVED_FIRST 0x9000UL
#define VTD_RESERVED_FRAMES 600UL

/* Frames that tests may give to domains. */
#define VTD_RAM_FIRST (1UL << 18)
#define VTD_RAM_FRAMES (3UL << 18)

struct vtd_config {
	u64 cap_set, cap_clear, ecap_set, ecap_clear;
};

/* A fresh machine, iommu_init() done. False if that failed. */
bool vtd_start(const struct vtd_config *config);
void vtd_stop(void);

/* Carry out at most n descriptors of a unit's queue; how many were there. */
unsigned int vtd_execute(unsigned int unit, unsigned int n);
/* Deliver the interrupts that the units have raised; false: there was none. */
bool vtd_interrupts(void);
/* Everything: queues, interrupts, work, until nothing is left. */
void vtd_settle(void);
/* One step of deferred work; false if there is none. */
bool vtd_work(void);

/* The device translates dfn, filling caches at will: true with the frame if it gets one. */
bool vtd_dma(struct pci_id dev, dfn_t dfn, mfn_t *mfn);
/* Fails the test if a cache leads to a frame without a reference, or to a table that was freed. */
void vtd_check(void);
/* Entries in all caches. */
unsigned int vtd_cached(void);

/* Device TLBs: that of a device with ATS keeps what it translated until it answers an invalidation. NULL: it always does; else
 * asked for each: false raises ITE. */
extern bool (*vtd_device_answers)(u16 bdf);
/* A unit does not take a descriptor of this type, so many times. */
extern unsigned int vtd_refuse_type, vtd_refusals;
extern bool vtd_ats[VTD_UNITS], vtd_stopped[VTD_UNITS];
/* What the device's own TLB still reaches. */
bool vtd_translated_dma(struct pci_id dev, dfn_t dfn, mfn_t *mfn);

/* The last IOTLB descriptor that unit 0 got. */
extern u64 vtd_last_iotlb[2];
extern u64 vtd_free_at_start; /* frames */
