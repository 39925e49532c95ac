/* A remapping unit: its registers, what it can do, and its parts. */
#pragma once

#include <iommu/dmar.h>
#include <iommu/hw.h>
#include <iommu/iommu.h>
#include <iommu/queue.h>
#include <iommu/regs.h>
#include <kernel/core/spinlock.h>
#include <kernel/core/work.h>

#define IRTE_PER_UNIT (MAX_DEVICES * IOMMU_IRTES)

struct irte_block;

struct iommu_unit {
	u32 index; /* in iommu_units[], and in the DMAR's list */
	u16 segment;
	bool fits; /* Weir can work with it */
	bool works; /* translation is on, and the queue answers; until it dies */
	volatile void *regs;
	u64 cap, ecap;
	u32 nr_domains; /* domain ids */

	struct iommu_queue queue;

	struct spinlock context_lock; /* guards root and context tables; after a domain's lock */
	struct root_entry *root;

	struct spinlock irte_lock; /* guards the entries and blocks; before the queue's */
	struct irte *irtes; /* NULL: no interrupt remapping */
	struct irte_block *irte_blocks;
	bool eim;
	u32 nr_irtes; /* set */

	u32 devices; /* attached; under iommu/device.c's lock */
	u64 faults, fault_overflows;
	struct work fault_work; /* reads what the unit reports */
};

/* What all units can do: domains' tables are shared between them. Of snooping and coherence, a
 * domain whose devices are known needs what their units can do only (iommu/coherence.c). */
struct iommu_common {
	unsigned int levels; /* 3, 4 or 5 */
	dfn_t limit; /* device frames that can be addressed: by the levels, and by MGAW */
	unsigned int largest; /* level of the largest leaf: 1 to 3 */
	u64 snoop; /* SS_SNP if every unit knows it, else 0 */
	bool coherent; /* every walker snoops */
	bool caching_mode; /* an entry that is not present may be cached */
	u32 nr_domains;
};

extern struct iommu_unit iommu_units[DMAR_MAX_UNITS];
extern u32 iommu_nr_units;
extern struct iommu_common iommu_common;
extern struct dmar iommu_dmar;

/* The unit that translates for dev and works, or NULL. */
struct iommu_unit *iommu_unit_of(struct pci_id dev);
/* Write back n bytes that this unit alone will read, if it does not snoop. */
static inline void unit_write_back(const struct iommu_unit *u, const void *p, size_t n)
{
	if (!(u->ecap & ECAP_C))
		hw_write_back(p, n);
}

/* The same for what lies in one or two lines, from its first byte to its last. */
static inline void unit_write_back_ends(const struct iommu_unit *u, const void *first,
					const void *last)
{
	if (!(u->ecap & ECAP_C))
		hw_write_back_ends(first, last);
}

/* Change one bit of GCMD and wait for its echo in GSTS (bounded, boot only; 11.4.4). False: the
 * unit does not answer. */
bool __must_check unit_command(struct iommu_unit *u, u64 bit, bool on);
