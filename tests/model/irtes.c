/* Interrupt entries in random programs: they are allocated, set, masked and freed, and devices use
 * any of them. */
#include <kernel/lib/errno.h>
#include <tests/model/actions.h>
#include <tests/model/random.h>

#define ENTRIES_USED 100
#define OLD_VALUES 4

/* What an entry may deliver: its latest setting and, until that setting's flush has completed,
 * earlier ones. */
static struct used {
	struct iommu_irte e;
	bool out, freeing;
	u32 now; /* vector << 24 | destination; 0: masked */
	u32 old[OLD_VALUES];
	u32 nr_old;
	bool any; /* more settings than are recorded */
} used[ENTRIES_USED];

/* Without EIME the destination has 8 bits in the middle of the field (9.10). */
static u32 value_of(unsigned int unit, u64 lo)
{
	bool extended = vtd_reg64(&vtd_units[unit], IRTA_REG) & IRTA_EIME;

	vtd_require(extended || !(lo & IRTE_DST & ~IRTE_DST_XAPIC),
		    "an interrupt entry with a destination of more than 8 bits: %016lx", lo);
	return (u32)FIELD_GET(IRTE_VECTOR, lo) << 24 |
	       (u32)(extended ? FIELD_GET(IRTE_DST, lo) : FIELD_GET(IRTE_DST_XAPIC, lo));
}

static bool may_deliver(const struct used *x, u32 value)
{
	if (x->now == value || x->any)
		return true;
	for (u32 i = 0; i < x->nr_old; i++)
		if (x->old[i] == value)
			return true;
	return false;
}

static struct used *owner_of(unsigned int unit, u16 index)
{
	for (unsigned int i = 0; i < ENTRIES_USED; i++)
		if (used[i].out && used[i].e.unit == unit && used[i].e.index == index)
			return &used[i];
	return NULL;
}

void irtes_raise(void)
{
	unsigned int device = (unsigned int)below(VTD_DEVICES);
	u16 index = (u16)below(ENTRIES_USED);
	const struct used *x;
	u64 lo;

	if (!vtd_interrupt(vtd_devices[device], index, &lo))
		return;
	x = owner_of(vtd_unit_of_device(device), index);
	vtd_require(x && x->e.dev.bdf == vtd_devices[device].bdf,
		    "device %u uses interrupt entry %u, which is not its own", device, index);
	vtd_require(may_deliver(x, value_of(x->e.unit, lo)),
		    "interrupt entry %u delivers vector 0x%lx, of which it knows no more", index,
		    FIELD_GET(IRTE_VECTOR, lo));
}

static void freed(void *arg)
{
	struct used *x = arg;
	struct pci_id dev = x->e.dev;
	u16 index = x->e.index;
	u64 lo;

	say("interrupt entry %u is free", index);
	x->out = x->freeing = false;
	vtd_require(!vtd_interrupt(dev, index, &lo), "free interrupt entry %u delivers", index);
}

static void change_to(struct used *x, u32 value)
{
	if (x->nr_old < OLD_VALUES)
		x->old[x->nr_old++] = x->now;
	else
		x->any = true;
	x->now = value;
}

static void allocate(struct used *x)
{
	unsigned int device = (unsigned int)below(VTD_DEVICES);
	int ret = iommu_irte_alloc(&x->e, vtd_devices[device]);

	vtd_require(!ret, "no interrupt entry: error %d", -ret);
	say("interrupt entry %u for device %u", x->e.index, device);
	vtd_require(!owner_of(x->e.unit, x->e.index), "interrupt entry %u is given out twice",
		    x->e.index);
	*x = (struct used){ .e = x->e, .out = true };
}

static void release(struct used *x)
{
	struct iommu_irte e = x->e; /* a copy, since the core clears its argument */

	say("free interrupt entry %u", e.index);
	change_to(x, 0);
	x->freeing = true;
	iommu_irte_free(&e, freed, x);
}

void act_interrupt_entry(void)
{
	struct used *x = &used[below(ENTRIES_USED)];
	u32 cpu = (u32)below(4);
	u8 vector = (u8)(0x30 + below(200));

	if (x->freeing)
		return;
	if (!x->out) {
		allocate(x);
		return;
	}
	switch (below(4)) {
	case 0:
		say("mask interrupt entry %u", x->e.index);
		change_to(x, 0);
		iommu_irte_mask(&x->e);
		break;
	case 1:
		release(x);
		break;
	default:
		say("set interrupt entry %u to 0x%x of CPU %u", x->e.index, vector, cpu);
		change_to(x, (u32)vector << 24 | cpu);
		iommu_irte_set(&x->e, cpu, vector);
	}
}

void irtes_check_quiet(void)
{
	for (unsigned int i = 0; i < ENTRIES_USED; i++) {
		struct used *x = &used[i];
		u64 lo;
		bool delivers;

		vtd_require(!x->freeing, "interrupt entry %u is never free", x->e.index);
		if (!x->out)
			continue;
		x->nr_old = 0;
		x->any = false;
		delivers = vtd_interrupt(x->e.dev, x->e.index, &lo);
		vtd_require(delivers ? x->now && value_of(x->e.unit, lo) == x->now : !x->now,
			    "interrupt entry %u %s", x->e.index,
			    delivers ? "delivers what it should not" : "does not deliver");
	}
}

void irtes_end(void)
{
	for (unsigned int i = 0; i < ENTRIES_USED; i++)
		if (used[i].out && !used[i].freeing)
			release(&used[i]);
}
