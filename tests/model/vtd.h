/* A simulated machine for the tests of iommu/: 4 GiB of memory or more with a frame table and, in
 * its lower part, an allocator; work items and interrupts that run when the test says so, and two
 * remapping units that cache whatever the specification allows (VT-d chapter 6) until it is
 * invalidated.
 *
 * The units have an IOTLB, paging-structure caches of every level, a context cache and an
 * interrupt-entry cache; devices with ATS have their own TLB. A unit that does not snoop (ECAP.C =
 * 0) reads tables from a copy of memory that is updated only by a write-back or when the CPU's
 * cache evicts a line.
 */
#pragma once

#include <iommu/iommu.h>

#define VTD_UNITS 2
#define VTD_DEVICES 6
/* Devices 0 and 4 are behind unit 0, the others behind unit 1. */
extern const struct pci_id vtd_devices[VTD_DEVICES];
#define VTD_DEVICE_0 ((struct pci_id){ 0, PCI_BDF(0, 3, 0) })
#define VTD_DEVICE_1 ((struct pci_id){ 0, PCI_BDF(0, 4, 0) })

/* Devices 2 and 3: the firmware reserves the same frames for both; they are not RAM. */
#define VTD_RESERVED_DEVICE(i) ((struct pci_id){ 0, PCI_BDF(0, 5 + (i), 0) })
#define VTD_RESERVED_FIRST 0x9000UL
#define VTD_RESERVED_FRAMES 600UL

/* Frames that tests may give to domains. */
#define VTD_RAM_FIRST (1UL << 18)
#define VTD_RAM_FRAMES (3UL << 18)

/* What differs from the default, cleared first and then set: of all units, and of one of them
 * besides. */
struct vtd_config {
	u64 cap_set, cap_clear, ecap_set, ecap_clear;
	struct {
		u64 cap_set, cap_clear, ecap_set, ecap_clear;
	} only[VTD_UNITS];
	/* An earlier system has left the caches full, and faults unread. */
	bool used;
	u64 frames; /* of memory, if it is more than 4 GiB */
};

/* Reports a failure. The test provides it; it does not return. */
void vtd_fail(const char *fmt, ...) __printf(1, 2) __noreturn;
#define vtd_require(cond, ...)                                                                     \
	do {                                                                                       \
		if (!(cond))                                                                       \
			vtd_fail(__VA_ARGS__);                                                     \
	} while (0)

/* Starts a new machine and calls iommu_init(). False if that failed. */
bool vtd_start(const struct vtd_config *config);
void vtd_stop(void);

/* --- actions of the hardware ---------------------------------------------- */

/* Executes at most n descriptors of a unit's queue; returns how many were taken. */
unsigned int vtd_execute(unsigned int unit, unsigned int n);
/* The queue is empty, and nothing is in progress. */
bool vtd_idle(unsigned int unit);
/* Delivers the interrupts that the units have raised; false: there was none. */
bool vtd_interrupts(void);
/* Runs queues, interrupts and work until nothing is left. */
void vtd_settle(void);
/* Runs one step of deferred work; false if there is none. */
bool vtd_work(void);

/* The device reads or writes dfn and fills caches; true, with the frame, if it reaches memory. */
bool vtd_access(struct pci_id dev, dfn_t dfn, bool write, mfn_t *mfn);
/* The same, as a request that the device has translated with its own TLB. */
bool vtd_translated_access(struct pci_id dev, dfn_t dfn, bool write, mfn_t *mfn);

/* The device sends the message of this interrupt entry; true, with the entry's lower half, if it is
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

/* --- settings for a test -------------------------------------------------- */

/* Caches drop and prefetch entries at random, superpages are cached in pieces, time-outs abort a
 * random number of waits. */
extern bool vtd_whims;
/* What the clock advances each time it is read, in ns. */
extern u64 vtd_clock_step;
/* Called before each write-back. */
extern void (*vtd_before_write_back)(void);
/* Called before each write of a 32-bit register. */
extern void (*vtd_before_register_write)(u32 r);
/* NULL: devices answer invalidations of their TLB at once; otherwise called for each. */
enum vtd_answer { VTD_SILENT, VTD_ANSWERS, VTD_ANSWERS_LATER };
extern enum vtd_answer (*vtd_device_answers)(u16 bdf);
/* A device answers, or times out, for an invalidation that was to be answered later. False: there
 * is none. */
bool vtd_answer_late(unsigned int unit, bool time_out);
/* A device sends an unexpected answer; sid is 0 if the unit does not report who sent it. */
void vtd_unexpected_answer(unsigned int unit, u16 sid);
/* The unit refuses descriptors of this type, this many times. */
extern unsigned int vtd_refuse_type, vtd_refusals;
/* By the unit's index: it has died, and its registers read as all ones. */
extern bool vtd_dead[VTD_UNITS];
/* By the device's index: its link is dead, and its configuration reads as all ones. */
extern bool vtd_gone[VTD_DEVICES];
/* The first, which no table lists, is a virtual function of the second. */
extern struct pci_id vtd_virtual, vtd_physical;

/* --- for inspection ------------------------------------------------------- */

/* How often the depth of a device's queue was read from its configuration. */
extern u32 vtd_ats_depth_reads;
/* By the device's index. */
extern bool vtd_ats[VTD_DEVICES], vtd_stopped[VTD_DEVICES];
/* The last IOTLB descriptor that unit 0 got. */
extern u64 vtd_last_iotlb[2];
extern u64 vtd_free_at_start; /* frames */
