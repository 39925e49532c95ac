/* The hardware's part of a random program. */
#include <tests/model/actions.h>
#include <tests/model/interleave.h>
#include <tests/model/random.h>

static struct range recent[DOMAINS][RECENT];
static u32 nr_recent[DOMAINS];
static bool errors;

void remember_place(struct model_domain *m, struct range at)
{
	long slot = m - model_domains;

	recent[slot][nr_recent[slot]++ % RECENT] = at;
}

static enum vtd_answer device_answers(u16 bdf)
{
	(void)bdf;
	if (errors && one_in(400))
		return VTD_SILENT;
	return one_in(4) ? VTD_ANSWERS : VTD_ANSWERS_LATER;
}

void hardware_start(bool with_errors)
{
	errors = with_errors;
	for (unsigned int i = 0; i < DOMAINS; i++)
		for (unsigned int k = 0; k < RECENT; k++)
			recent[i][k] = (struct range){ (u32)below(64), 64 };
	vtd_device_answers = device_answers;
	interleave_hook = hardware_acts;
}

static dfn_t some_place(unsigned int device)
{
	int slot = model_devices[device].domain;
	struct range at = recent[slot < 0 ? 0 : slot][below(RECENT)];
	u64 span = at.nr + 4UL;

	if (one_in(32))
		return VTD_RESERVED_FIRST + below(VTD_RESERVED_FRAMES);
	if (one_in(32))
		return below(1UL << 46);
	/* Its ends, what lies beside them, or anywhere inside. */
	return oracle_dfn(at.first) - 2 +
	       (one_in(2) ? below(span) :
		one_in(2) ? below(4) :
			    span - 1 - below(4));
}

void hardware_access(void)
{
	unsigned int device = (unsigned int)below(VTD_DEVICES);
	bool write = one_in(2), translated = vtd_ats[device] ? !one_in(4) : one_in(8), reached;
	dfn_t dfn = some_place(device);
	mfn_t mfn = 0;

	if (translated)
		reached = vtd_translated_access(vtd_devices[device], dfn, write, &mfn);
	else
		reached = vtd_access(vtd_devices[device], dfn, write, &mfn);
	oracle_judge(device, dfn, write, translated, reached, mfn);
}

/* So rarely that no queue stands at a descriptor that it has refused before. */
static void go_wrong(void)
{
	unsigned int unit = (unsigned int)below(VTD_UNITS);
	unsigned int device = (unsigned int)below(VTD_DEVICES);

	if (one_in(3)) {
		vtd_unexpected_answer(unit, vtd_unit_of_device(device) == unit && one_in(4) ?
						    vtd_devices[device].bdf :
						    0);
	} else if (vtd_idle(0) && vtd_idle(1)) {
		static const unsigned int types[] = { QI_TYPE_CONTEXT, QI_TYPE_IOTLB,
						      QI_TYPE_DEVICE_TLB, QI_TYPE_IEC, QI_TYPE_WAIT };

		vtd_refusals = 1;
		vtd_refuse_type = types[below(5)];
	}
}

void hardware_acts(void)
{
	unsigned int unit = (unsigned int)below(VTD_UNITS);

	switch (below(8)) {
	case 0:
		vtd_execute(unit, 1 + (unsigned int)below(6));
		break;
	case 1:
		vtd_answer_late(unit, errors && one_in(200));
		break;
	case 2:
		machine_evict(interleave_line());
		break;
	case 3:
		if (errors && one_in(500))
			go_wrong();
		break;
	default:
		hardware_access();
	}
}
