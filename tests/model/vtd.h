/* A machine of software for the tests of iommu/: 4 GiB of memory with a frame table and an
 * allocator in its lower part, work items and interrupts that run when the test says so, and two
 * remapping units that keep whatever the specification lets them keep (VT-d chapter 6) until an
 * invalidation takes it away.
 *
 * The units have an IOTLB, paging-structure caches of every level, a context cache and an
 * interrupt-entry cache; devices with ATS have a TLB of their own. A unit that does not snoop
 * (ECAP.C = 0) reads tables from a copy of memory that only a write-back, or the CPU's cache
 * throwing a line out, brings up to date.
 */
#pragma once

#include <iommu/iommu.h>

#define VTD_UNITS 2
#define VTD_DEVICES 6
/* Devices 0 and 4 are behind unit 0, the others behind unit 1. */
extern const struct pci_id vtd_devices[VTD_DEVICES];
#define VTD_DEVICE_0 ((struct pci_id){ 0, PCI_BDF(0, 3, 0) })
#define VTD_DEVICE_1 ((struct pci_id){ 0, PCI_BDF(0, 4, 0) })

/* Devices 2 and 3, for which the firmware reserves the same frames, which are no RAM. */
#define VTD_RESERVED_DEVICE(i) ((struct pci_id){ 0, PCI_BDF(0, 5 + (i), 0) })
#define VTD_RESERVED_FIRST 0x9000UL
#define VTD_RESERVED_FRAMES 600UL

/* Frames that tests may give to domains. */
#define VTD_RAM_FIRST (1UL << 18)
#define VTD_RAM_FRAMES (3UL << 18)

struct vtd_config {
	u64 cap_set, cap_clear, ecap_set, ecap_clear;
};

/* How the test is told that it has failed. Provided by the test; does not return. */
void vtd_fail(const char *fmt, ...) __printf(1, 2) __noreturn;
#define vtd_require(cond, ...)                                                                     \
	do {                                                                                       \
		if (!(cond))                                                                       \
			vtd_fail(__VA_ARGS__);                                                     \
	} while (0)

/* A fresh machine, iommu_init() done. False if that failed. */
bool vtd_start(const struct vtd_config *config);
void vtd_stop(void);

/* --- the hardware does something ------------------------------------------ */

/* Carry out at most n descriptors of a unit's queue; how many were taken. */
unsigned int vtd_execute(unsigned int unit, unsigned int n);
/* Its queue is empty, and nothing of it is under way. */
bool vtd_idle(unsigned int unit);
/* Deliver the interrupts that the units have raised; false: there was none. */
bool vtd_interrupts(void);
/* Everything: queues, interrupts, work, until nothing is left. */
void vtd_settle(void);
/* One step of deferred work; false if there is none. */
bool vtd_work(void);

/* The device reads or writes dfn, filling caches on the way: true with the frame if it gets
 * there. */
bool vtd_access(struct pci_id dev, dfn_t dfn, bool write, mfn_t *mfn);
/* The same as a request that the device translates itself, by its own TLB. */
bool vtd_translated_access(struct pci_id dev, dfn_t dfn, bool write, mfn_t *mfn);

/* The device sends the message of this interrupt entry: true with the entry's lower half if it is
 * delivered. */
bool vtd_interrupt(struct pci_id dev, u16 index, u64 *entry);

static inline bool vtd_dma(struct pci_id dev, dfn_t dfn, mfn_t *mfn)
{
	return vtd_access(dev, dfn, false, mfn);
}

static inline bool vtd_translated_dma(struct pci_id dev, dfn_t dfn, mfn_t *mfn)
{
	return vtd_translated_access(dev, dfn, false, mfn);
}

/* --- what a test may set -------------------------------------------------- */

/* Caches drop and prefetch at random, superpages are cached in parts, time-outs abort as many
 * waits as they may. */
extern bool vtd_whims;
/* Called before each write-back. */
extern void (*vtd_before_write_back)(void);
/* Called before each write of a register of 32 bits. */
extern void (*vtd_before_register_write)(u32 r);
/* NULL: devices always answer invalidations of their TLB at once; else asked for each. */
enum vtd_answer { VTD_SILENT, VTD_ANSWERS, VTD_ANSWERS_LATER };
extern enum vtd_answer (*vtd_device_answers)(u16 bdf);
/* A device answers, or time runs out, for a flush that was to be answered later. False: there is
 * none. */
bool vtd_answer_late(unsigned int unit, bool time_out);
/* A device answers what nobody asked; sid is 0 where the unit does not say who. */
void vtd_unexpected_answer(unsigned int unit, u16 sid);
/* A unit does not take a descriptor of this type, so many times. */
extern unsigned int vtd_refuse_type, vtd_refusals;
/* The first, which no table names, is a virtual function of the second. */
extern struct pci_id vtd_virtual, vtd_physical;

/* --- to look at ----------------------------------------------------------- */

/* By the device's index. */
extern bool vtd_ats[VTD_DEVICES], vtd_stopped[VTD_DEVICES];
/* The last IOTLB descriptor that unit 0 got. */
extern u64 vtd_last_iotlb[2];
extern u64 vtd_free_at_start; /* frames */
