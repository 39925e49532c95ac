/* The hardware's part of a random program. */
#include <drivers/pci.h>
#include <tests/model/actions.h>
#include <tests/model/checker.h>
#include <tests/model/deaths.h>
#include <tests/model/interleave.h>
#include <tests/model/random.h>

static struct range recent[DOMAINS][RECENT];
static u32 nr_recent[DOMAINS];
static unsigned int hot_device; /* recently used by an action */
static unsigned int stalled; /* bit by unit: its queue is not processed */
static bool errors;

void remember_place(struct model_domain *m, struct range at)
{
	long slot = m - model_domains;

	recent[slot][nr_recent[slot]++ % RECENT] = at;
}

static enum vtd_answer device_answers(u16 bdf)
{
	struct pci_id dev = { 0, bdf };

	if (errors && (one_in(40) || vtd_gone[vtd_device_index(pci_physical(dev))]))
		return VTD_SILENT;
	return one_in(4) ? VTD_ANSWERS : VTD_ANSWERS_LATER;
}

static void before_write_back(void)
{
	if (one_in(8))
		interleave_now();
}

void hardware_start(bool with_errors)
{
	errors = with_errors;
	for (unsigned int i = 0; i < DOMAINS; i++)
		for (unsigned int k = 0; k < RECENT; k++)
			recent[i][k] = (struct range){ (u32)below(64), 64 };
	vtd_device_answers = device_answers;
	vtd_before_write_back = before_write_back;
	interleave_hook = hardware_acts;
}

void hardware_stop(void)
{
	vtd_device_answers = NULL;
	vtd_before_write_back = NULL;
	interleave_hook = NULL;
}

void remember_device(unsigned int device)
{
	hot_device = device;
}

/* How often the hardware acts, for a while. */
void hardware_mood(void)
{
	interleave_set(one_in(8) ? 4 : 1UL << (3 + below(10)));
	if (one_in(256))
		stalled = one_in(2) ? (unsigned int)below(4) : 0;
}

bool hardware_stalled(unsigned int unit)
{
	return stalled & BIT(unit);
}

static dfn_t some_place(unsigned int device)
{
	int slot = model_devices[device].domain;
	struct range at;
	u64 span;

	slot = slot < 0 ? 0 : slot;
	at = recent[slot][(one_in(2) ? nr_recent[slot] - 1 : below(RECENT)) % RECENT];
	span = at.nr + 4UL;
	if (one_in(32))
		return VTD_RESERVED_FIRST + below(VTD_RESERVED_FRAMES);
	if (one_in(32))
		return below(1UL << 46);
	/* At its ends, next to them, or anywhere inside. */
	return shadow_dfn(at.first) - 2 +
	       (one_in(2) ? below(span) :
		one_in(2) ? below(4) :
			    span - 1 - below(4));
}

void hardware_access(void)
{
	unsigned int device = one_in(3) ? hot_device : (unsigned int)below(VTD_DEVICES);
	bool write = one_in(2), translated = vtd_ats[device] ? !one_in(4) : one_in(8), reached;
	dfn_t dfn = some_place(device);
	mfn_t mfn = 0;

	if (translated)
		reached = vtd_translated_access(vtd_devices[device], dfn, write, &mfn);
	else
		reached = vtd_access(vtd_devices[device], dfn, write, &mfn);
	checker_access(device, dfn, write ? SS_W : SS_R, translated, reached, mfn);
}

/* A device's link is dead until it is attached again; with it those of its virtual functions. */
static void lose_link(unsigned int device)
{
	say("the link of device %u is dead", device);
	vtd_gone[device] = true;
	for (unsigned int i = 0; i < VTD_DEVICES; i++)
		if (pci_physical(vtd_devices[i]).bdf == vtd_devices[device].bdf)
			vtd_device_states[i].suspect = true;
}

/* Rare, so that no unit refuses a descriptor that it has refused before. */
static void go_wrong(void)
{
	unsigned int unit = (unsigned int)below(VTD_UNITS);
	unsigned int device = (unsigned int)below(VTD_DEVICES);

	if (one_in(4)) {
		lose_link(device);
	} else if (vtd_dead[unit]) {
		return;
	} else if (one_in(3)) {
		vtd_unexpected_answer(unit, vtd_unit_of_device(device) == unit && one_in(4) ?
						    vtd_devices[device].bdf :
						    0);
	} else if (vtd_idle(0) && vtd_idle(1)) {
		static const u8 types[] = { QI_TYPE_CONTEXT, QI_TYPE_IOTLB, QI_TYPE_DEVICE_TLB,
					    QI_TYPE_IEC, QI_TYPE_WAIT };

		vtd_refusals = 1;
		vtd_refuse_type = types[below(5)];
	}
}

void hardware_acts(void)
{
	unsigned int unit = (unsigned int)below(VTD_UNITS);

	switch (below(8)) {
	case 0:
		if (!hardware_stalled(unit))
			vtd_execute(unit, 1 + (unsigned int)below(6));
		break;
	case 1:
		vtd_answer_late(unit, errors && one_in(40));
		break;
	case 2:
		machine_evict(interleave_line());
		break;
	case 3:
		if (errors && one_in(300))
			go_wrong();
		deaths_strike();
		irtes_raise();
		break;
	default:
		hardware_access();
	}
}
