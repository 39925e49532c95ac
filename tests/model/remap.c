/* Interrupt remapping (VT-d chapter 5): how a unit handles a device's message. */
#include <kernel/lib/atomic.h>
#include <tests/model/random.h>
#include <tests/model/unit.h>

#define IRTE_HI_KNOWN (IRTE_HI_SID | MASK(19, 16))

/* Entries that are not present are cached in caching mode only (6.1), or so the specification says:
 * a real unit has been seen to do so without. */
static bool read_entry(struct vtd_unit *u, u16 index, struct irte *e)
{
	paddr_t at = (vtd_reg64(u, IRTA_REG) & PAGE_MASK) + index * sizeof(*e);

	e->lo = machine_walker_read(u, at);
	e->hi = machine_walker_read(u, at + 8);
	return (e->lo & IRTE_P) || (vtd_reg64(u, CAP_REG) & CAP_CM) || (vtd_whims && one_in(2));
}

bool vtd_interrupt(struct pci_id dev, u16 index, u64 *entry)
{
	struct vtd_unit *u = &vtd_units[vtd_unit_of_device((unsigned int)vtd_device_index(dev))];
	struct irte e;

	vtd_require(index < IRTE_PER_UNIT, "there is no interrupt entry %u", index);
	pthread_mutex_lock(&u->lock);
	if (!u->interrupt[index].valid)
		u->interrupt[index].valid = read_entry(u, index, &u->interrupt[index].e);
	e = u->interrupt[index].e;
	pthread_mutex_unlock(&u->lock);
	vtd_require(!(e.lo & IRTE_P) || !(e.hi & ~IRTE_HI_KNOWN),
		    "an interrupt entry with reserved bits");
	*entry = e.lo;
	return (e.lo & IRTE_P) && (e.hi & MASK(19, 18)) == IRTE_HI_SVT_SID &&
	       (e.hi & IRTE_HI_SID) == dev.bdf;
}
