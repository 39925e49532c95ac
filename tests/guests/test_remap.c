/* Pages that a guest gives back, in several ways, while all its edu devices use them: a part of a
 * superpage, a whole one, a whole table. A unit may have cached the translation, the superpage or
 * the pointer to the table; each way needs another flush, and the walker must see what was written.
 * The devices then write to the pages: nothing may arrive, and each attempt is a fault. With the
 * group "remap-rounds" this goes on until the domain ends, and the test outside makes trouble
 * (tests/system/test_bochs_errors.py). The groups "remap-flood" and "remap-peer" reach for what
 * nobody may have: as often as the fault records hold, and for the registers of another device. */
#include <tests/guests/edu.h>

#include <kernel/abi/hypercall.h>

#define FIRST 0x3000UL /* a frame at 48 MiB, which this guest does not use */
#define BLOCK 512UL
#define BYTES 64u
#define MARK 0x6b72616d73756465UL
#define PROBES 3u

/* What is given back, frames in it that the devices write to, and frames beside it, which must
 * stay as they are. 0: none. */
struct part {
	const char *name;
	u64 first, nr;
	u64 inside[PROBES], beside[PROBES];
};

static const struct part parts[] = {
	{ "a page of a superpage",
	  FIRST + 5,
	  1,
	  { FIRST + 5 },
	  { FIRST + 4, FIRST + 6, FIRST + 511 } },
	{ "the page behind it", FIRST + 6, 1, { FIRST + 6 }, { FIRST + 5, FIRST + 7 } },
	{ "a few pages",
	  FIRST + 0x13,
	  10,
	  { FIRST + 0x13, FIRST + 0x18, FIRST + 0x1c },
	  { FIRST + 0x12, FIRST + 0x1d } },
	{ "a superpage",
	  FIRST + BLOCK,
	  BLOCK,
	  { FIRST + BLOCK, FIRST + BLOCK + 0x123, FIRST + 2 * BLOCK - 1 },
	  { FIRST + BLOCK - 1, FIRST + 2 * BLOCK } },
	{ "a table", FIRST, BLOCK, { FIRST, FIRST + 0x100, FIRST + BLOCK - 1 }, { FIRST + BLOCK } },
	{ "the ends of two superpages",
	  FIRST + 3 * BLOCK - 0x10,
	  0x20,
	  { FIRST + 3 * BLOCK - 0x10, FIRST + 3 * BLOCK - 1, FIRST + 3 * BLOCK + 0xf },
	  { FIRST + 3 * BLOCK - 0x11, FIRST + 3 * BLOCK + 0x10 } },
	{ "two tables",
	  FIRST + 2 * BLOCK,
	  2 * BLOCK,
	  { FIRST + 2 * BLOCK, FIRST + 3 * BLOCK - 1, FIRST + 3 * BLOCK },
	  { FIRST + 2 * BLOCK - 1, FIRST + 4 * BLOCK } },
};

static struct weir_stats stats __aligned(PAGE_SIZE);
static u64 source[PAGE_SIZE / sizeof(u64)] __aligned(PAGE_SIZE);
static u32 devices;
/* What a unit refuses to a device that asks for translations itself is no fault: then attempts are
 * counted only, and the test outside asks the devices. */
static bool no_faults;
static u64 attempts;

static void read_stats(void)
{
	(void)hypercall(WEIR_HC_STATS, (u64)&stats, sizeof(stats), 0);
}

static volatile u64 *words(u64 gfn)
{
	return (volatile u64 *)(gfn << 12);
}

/* Each device's buffer has the mark from now on. */
static u32 find_devices(void)
{
	for (u32 i = 0; i < BYTES / sizeof(*source); i++)
		source[i] = MARK;
	for (devices = 0; edu_use(devices); devices++)
		(void)edu_read((u64)source, BYTES);
	return devices;
}

/* How many of the writes to these frames do not arrive. */
static u64 not_reached(const u64 *gfn)
{
	u64 n = 0;

	for (u32 d = 0; d < devices; d++) {
		(void)edu_use(d);
		for (u32 i = 0; i < PROBES && gfn[i]; i++) {
			words(gfn[i])[0] = 0;
			n += !edu_write(gfn[i] << 12, BYTES) || words(gfn[i])[0] != MARK;
		}
	}
	return n;
}

static bool fault_comes(u64 before)
{
	for (u32 us = 0; us < 200000; us += 200) {
		read_stats();
		if (stats.io_faults != before)
			return true;
		spin_us(200);
	}
	return false;
}

/* How many of the writes to these frames, which the guest has no more, are no faults. */
static u64 not_blocked(const u64 *gfn)
{
	u64 n = 0;

	for (u32 d = 0; d < devices; d++) {
		(void)edu_use(d);
		for (u32 i = 0; i < PROBES && gfn[i]; i++) {
			read_stats();
			n += !edu_write(gfn[i] << 12, BYTES) ||
			     (!no_faults && !fault_comes(stats.io_faults));
			attempts++;
		}
	}
	return n;
}

static bool call_for_all(u64 call, u64 gfn, u64 nr)
{
	while (nr) {
		s64 done = hypercall(call, gfn, nr, 0);

		if (done <= 0)
			return false;
		gfn += (u64)done;
		nr -= (u64)done;
	}
	return true;
}

/* Wait until nothing is held any more. */
static bool is_settled(u32 seconds)
{
	for (u32 ms = 0; ms < seconds * 1000; ms++) {
		read_stats();
		if (!stats.pages_held && !stats.batches_in_flight)
			return true;
		spin_us(1000);
	}
	return false;
}

static u64 not_zero(const struct part *p)
{
	u64 n = 0;

	for (u32 i = 0; i < PROBES && p->inside[i]; i++)
		for (u32 word = 0; word < BYTES / sizeof(u64); word++)
			n += words(p->inside[i])[word] != 0;
	return n;
}

static void give_back(const struct part *p)
{
	print("remap: %s\n", p->name);
	CHECK_EQ("remap: it is reached", not_reached(p->inside) + not_reached(p->beside), 0);
	CHECK("remap: it is released", call_for_all(WEIR_HC_MEM_RELEASE, p->first, p->nr));
	CHECK("remap: it is free after a while", is_settled(30));
	CHECK_EQ("remap: it is blocked", not_blocked(p->inside), 0);
	CHECK_EQ("remap: what is beside it is reached", not_reached(p->beside), 0);
	CHECK("remap: it is populated", call_for_all(WEIR_HC_MEM_POPULATE, p->first, p->nr));
	CHECK_EQ("remap: it is zero", not_zero(p), 0);
	CHECK_EQ("remap: it is reached again", not_reached(p->inside), 0);
}

/* The guest asks for the pages at once, and Weir has it wait. */
static void give_back_and_take(const struct part *p)
{
	CHECK_EQ("remap: it is reached before", not_reached(p->inside), 0);
	CHECK("remap: it is given back and taken",
	      call_for_all(WEIR_HC_MEM_RELEASE, p->first, p->nr) &&
		      call_for_all(WEIR_HC_MEM_POPULATE, p->first, p->nr));
	CHECK_EQ("remap: it is zero at once", not_zero(p), 0);
	CHECK_EQ("remap: it is reached at once", not_reached(p->inside), 0);
}

void test_remap(void)
{
	u64 before;

	if (!under_weir || !find_devices()) {
		lacks("remap: needs an edu device (pci=)");
		return;
	}
	print("remap: %u devices\n", devices);
	read_stats();
	before = stats.pages_owned;
	for (u32 i = 0; i < ARRAY_SIZE(parts); i++)
		give_back(&parts[i]);
	for (u32 i = 0; i < ARRAY_SIZE(parts); i++)
		give_back_and_take(&parts[i]);
	read_stats();
	CHECK_EQ("remap: as many pages as before", stats.pages_owned, before);
	CHECK_EQ("remap: no device was quarantined", stats.devices_quarantined, 0);
	print("remap: %lu attempts, %lu faults, at most %lu pages held\n", attempts,
	      stats.io_faults, stats.pages_held_max);
}

void test_remap_ats(void)
{
	no_faults = true;
	test_remap();
}

#define LINE_MS 100 /* how often the rounds print what they have seen */
#define PAUSE_US 2000 /* between rounds, so that their faults are no flood */

/* What the rounds since the last line have seen. */
struct seen {
	u64 not_reached, not_blocked;
	bool released, settled, populated;
};

static void one_round(const struct part *p, struct seen *s)
{
	(void)find_devices();
	s->not_reached += not_reached(p->inside);
	s->released &= call_for_all(WEIR_HC_MEM_RELEASE, p->first, p->nr);
	s->settled &= is_settled(60);
	if (!stats.devices_quarantined)
		s->not_blocked += not_blocked(p->inside);
	s->populated &= call_for_all(WEIR_HC_MEM_POPULATE, p->first, p->nr);
}

/* A device that was quarantined reaches nothing any more, and devices may come and go. */
void test_remap_rounds(void)
{
	struct seen s = { 0, 0, true, true, true };
	u64 due = 0;

	if (!under_weir || !find_devices()) {
		lacks("remap-rounds: needs an edu device (pci=)");
		return;
	}
	for (u32 round = 1;; round++) {
		one_round(&parts[0], &s);
		spin_us(PAUSE_US);
		if (rdtsc_ordered() < due)
			continue;
		print("remap: round %u of %u devices: released %u, free %u, populated %u; "
		      "%lu not reached, %lu not blocked, %lu quarantined\n",
		      round, devices, s.released, s.settled, s.populated, s.not_reached,
		      s.not_blocked, stats.devices_quarantined);
		s = (struct seen){ 0, 0, true, true, true };
		due = rdtsc_ordered() + LINE_MS * tsc_khz;
	}
}

void test_remap_rounds_ats(void)
{
	no_faults = true;
	test_remap_rounds();
}

#define NOWHERE 0x40000000UL
#define FLOOD 600u /* Weir quarantines above 1000 in a second */

/* Several faults in each moment in which Weir looks at others; and then one by itself. */
void test_remap_flood(void)
{
	u64 before;

	if (!under_weir || !find_devices()) {
		lacks("remap-flood: needs an edu device (pci=)");
		return;
	}
	(void)edu_use(0);
	print("remap-flood: begins\n");
	for (u32 i = 0; i < FLOOD; i++)
		(void)edu_write(NOWHERE + (i << 12), 8);
	spin_us(3000000);
	read_stats();
	print("remap-flood: %u sent, %lu told\n", FLOOD, stats.io_faults);
	before = stats.io_faults;
	CHECK("remap-flood: one more ends", edu_write(NOWHERE, 8));
	CHECK("remap-flood: it is told", fault_comes(before));
	CHECK_EQ("remap-flood: it is no flood", stats.devices_quarantined, 0);
}

#define EDU_IDENTIFICATION 0x010000edu /* its register 0 */
#define BARS 0xc0000000UL
#define BARS_END 0xd0000000UL
#define BAR_BYTES 0x100000UL
#define PEER_US 300000

/* Read where the firmware may have put the registers of another function of the device. */
void test_remap_peer(void)
{
	u32 found = 0;

	if (!under_weir || !find_devices()) {
		lacks("remap-peer: needs an edu device (pci=)");
		return;
	}
	(void)edu_use(0);
	/* Only a device whose guest has begun answers. */
	spin_us(PEER_US);
	for (u64 at = BARS; at < BARS_END; at += BAR_BYTES) {
		source[0] = 0;
		if (!edu_read(at, 4) || !edu_write((u64)source, 4))
			continue;
		if ((u32)((volatile u64 *)source)[0] != EDU_IDENTIFICATION)
			continue;
		print("remap-peer: the registers of another device at 0x%lx\n", at);
		found++;
	}
	print("remap-peer: %u found\n", found);
}
