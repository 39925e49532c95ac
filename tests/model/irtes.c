/* Interrupt entries in random programs: a device's are allocated, set, blocked and freed, and
 * devices use any of them. */
#include <kernel/lib/errno.h>
#include <tests/model/actions.h>
#include <tests/model/deaths.h>
#include <tests/model/random.h>

#define BLOCKS_USED 8
#define ENTRIES_USED 12 /* of a block */
#define OLD_VALUES 4

/* What an entry may deliver: its latest setting and, until that setting's flush has completed,
 * earlier ones. */
struct used_entry {
	u32 set; /* vector << 24 | destination; 0: not set */
	u32 now; /* the same, or 0 while the block is blocked */
	u32 old[OLD_VALUES];
	u32 nr_old;
	bool any; /* more settings than are recorded */
};

static struct used {
	struct iommu_irtes e;
	bool out, blocked, freeing;
	struct used_entry entry[ENTRIES_USED];
} used[BLOCKS_USED];

/* Without EIME the destination has 8 bits in the middle of the field (9.10). */
static u32 value_of(unsigned int unit, u64 lo)
{
	bool extended = vtd_reg64(&vtd_units[unit], IRTA_REG) & IRTA_EIME;

	vtd_require(extended || !(lo & IRTE_DST & ~IRTE_DST_XAPIC),
		    "an interrupt entry with a destination of more than 8 bits: %016lx", lo);
	return (u32)FIELD_GET(IRTE_VECTOR, lo) << 24 |
	       (u32)(extended ? FIELD_GET(IRTE_DST, lo) : FIELD_GET(IRTE_DST_XAPIC, lo));
}

static bool may_deliver(const struct used_entry *x, u32 value)
{
	if (x->now == value || x->any)
		return true;
	for (u32 i = 0; i < x->nr_old; i++)
		if (x->old[i] == value)
			return true;
	return false;
}

static struct used *owner_of(unsigned int unit, u32 index)
{
	for (unsigned int i = 0; i < BLOCKS_USED; i++)
		if (used[i].out && used[i].e.unit == unit &&
		    used[i].e.first / IOMMU_IRTES == index / IOMMU_IRTES)
			return &used[i];
	return NULL;
}

void irtes_raise(void)
{
	unsigned int device = (unsigned int)below(VTD_DEVICES);
	u16 index = (u16)(below(BLOCKS_USED) * IOMMU_IRTES + below(ENTRIES_USED));
	const struct used *x;
	u64 lo;

	if (!vtd_interrupt(vtd_devices[device], index, &lo))
		return;
	x = owner_of(vtd_unit_of_device(device), index);
	vtd_require(x && x->e.dev.bdf == vtd_devices[device].bdf,
		    "device %u uses interrupt entry %u, which is not its own", device, index);
	vtd_require(may_deliver(&x->entry[index % IOMMU_IRTES], value_of(x->e.unit, lo)),
		    "interrupt entry %u delivers vector 0x%lx, of which it knows no more", index,
		    FIELD_GET(IRTE_VECTOR, lo));
}

static void freed(void *arg)
{
	struct used *x = arg;
	u64 lo;

	say("interrupt entries from %u are free", x->e.first);
	x->out = x->freeing = false;
	for (u32 i = 0; i < ENTRIES_USED; i++)
		vtd_require(!vtd_interrupt(x->e.dev, (u16)(x->e.first + i), &lo),
			    "free interrupt entry %u delivers", x->e.first + i);
}

static void change_to(struct used_entry *x, u32 value)
{
	if (x->now == value)
		return;
	if (x->nr_old < OLD_VALUES)
		x->old[x->nr_old++] = x->now;
	else
		x->any = true;
	x->now = value;
}

/* From now on the device may send the messages of these entries, and each must arrive. */
static void in_force(void *arg, u64 entries)
{
	struct used *x = arg;

	vtd_require(!(entries >> ENTRIES_USED), "entries 0x%lx were never set", entries);
	for (u32 i = 0; i < ENTRIES_USED; i++) {
		struct used_entry *e = &x->entry[i];
		u64 lo;

		if (!(entries & BIT(i)))
			continue;
		vtd_require(vtd_interrupt(x->e.dev, (u16)(x->e.first + i), &lo) && e->now &&
				    value_of(x->e.unit, lo) == e->now,
			    "interrupt entry %u is in force, and does not deliver", x->e.first + i);
		e->nr_old = 0;
		e->any = false;
	}
}

static void allocate(struct used *x)
{
	unsigned int device = (unsigned int)below(VTD_DEVICES);
	int ret = iommu_irtes_alloc(&x->e, vtd_devices[device], in_force, x);

	if (ret == -ENODEV && deaths_noticed(device))
		return;
	vtd_require(!ret, "no interrupt entries: error %d", -ret);
	say("interrupt entries from %u for device %u", x->e.first, device);
	vtd_require(!owner_of(x->e.unit, x->e.first), "interrupt entry %u is given out twice",
		    x->e.first);
	*x = (struct used){ .e = x->e, .out = true };
}

static void release(struct used *x)
{
	struct iommu_irtes e = x->e; /* a copy, since the core clears its argument */

	say("free interrupt entries from %u", e.first);
	for (u32 i = 0; i < ENTRIES_USED; i++)
		change_to(&x->entry[i], 0);
	x->freeing = true;
	iommu_irtes_free(&e, freed, x);
}

static void block(struct used *x, bool blocked)
{
	say("%s interrupt entries from %u", blocked ? "block" : "open", x->e.first);
	x->blocked = blocked;
	for (u32 i = 0; i < ENTRIES_USED; i++)
		change_to(&x->entry[i], blocked ? 0 : x->entry[i].set);
	iommu_irtes_block(&x->e, blocked);
}

static void set(struct used *x)
{
	u32 i = (u32)below(ENTRIES_USED), cpu = (u32)below(4);
	u8 vector = (u8)(0x30 + below(200));
	struct used_entry *e = &x->entry[i];

	say("set interrupt entry %u to 0x%x of CPU %u", x->e.first + i, vector, cpu);
	e->set = (u32)vector << 24 | cpu;
	change_to(e, x->blocked ? 0 : e->set);
	iommu_irtes_set(&x->e, i, cpu, vector);
}

void act_interrupt_entry(void)
{
	struct used *x = &used[below(BLOCKS_USED)];

	if (x->freeing)
		return;
	if (!x->out) {
		allocate(x);
		return;
	}
	switch (below(8)) {
	case 0:
	case 1:
		block(x, !x->blocked);
		break;
	case 2:
		release(x);
		break;
	default:
		set(x);
	}
}

void irtes_check_quiet(void)
{
	for (unsigned int n = 0; n < BLOCKS_USED; n++) {
		struct used *x = &used[n];

		if (x->out && vtd_dead[x->e.unit])
			continue;
		vtd_require(!x->freeing, "interrupt entries from %u are never free", x->e.first);
		for (u32 i = 0; x->out && i < ENTRIES_USED; i++) {
			struct used_entry *e = &x->entry[i];
			u64 lo;
			bool delivers = vtd_interrupt(x->e.dev, (u16)(x->e.first + i), &lo);

			e->nr_old = 0;
			e->any = false;
			vtd_require(delivers ? e->now && value_of(x->e.unit, lo) == e->now :
					       !e->now,
				    "interrupt entry %u %s", x->e.first + i,
				    delivers ? "delivers what it should not" : "does not deliver");
		}
	}
}

void irtes_end(void)
{
	for (unsigned int i = 0; i < BLOCKS_USED; i++)
		if (used[i].out && !used[i].freeing)
			release(&used[i]);
}
