/* The list of PCI functions, against a simulated configuration space that may contain anything.
 *
 * sources: drivers/pci.c drivers/pciconfig.c drivers/pcicap.c drivers/pcidma.c drivers/pcibar.c
 * sources: drivers/pcireset.c drivers/pciacs.c drivers/pcipresence.c kernel/lib/rangeset.c
 * sources: kernel/lib/pci_id.c
 * libs: -Wl,--wrap=pci_config_read8,--wrap=pci_config_read16,--wrap=pci_config_read32
 * libs: -Wl,--wrap=pci_config_write8,--wrap=pci_config_write16,--wrap=pci_config_write32
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <drivers/acpi.h>
#include <drivers/pci.h>
#include <drivers/pcipresence.h>
#include <drivers/pcireset.h>
#include <kernel/core/log.h>
#include <kernel/mm/bootmem.h>
#include <kernel/core/paging.h>
#include <kernel/lib/rangeset.h>
#include <kernel/lib/string.h>

#include <cmocka.h>

#include "pci_ecam.h"

#define CAPABILITY_AT 0x40

static u32 vendor_warnings, list_warnings, pending_warnings;

void log_print(enum log_level level, const char *fmt, ...)
{
	list_warnings += level == LOG_WARN && strstr(fmt, "PCI_MAX_DEVICES") != NULL;
	pending_warnings += level == LOG_WARN && strstr(fmt, "requests are pending") != NULL;
	vendor_warnings += level == LOG_WARN && strstr(fmt, "PCI_VENDOR_CAPS") != NULL;
}

/* --- accesses ------------------------------------------------------------- */

static u32 reads, writes, commands;

#define COUNT(bits)                                                                                \
	u##bits __real_pci_config_read##bits(u16 segment, u16 bdf, u16 offset);                    \
	u##bits __wrap_pci_config_read##bits(u16 segment, u16 bdf, u16 offset);                    \
	u##bits __wrap_pci_config_read##bits(u16 segment, u16 bdf, u16 offset)                     \
	{                                                                                          \
		reads++;                                                                           \
		return __real_pci_config_read##bits(segment, bdf, offset);                         \
	}                                                                                          \
	void __real_pci_config_write##bits(u16 segment, u16 bdf, u16 offset, u##bits v);           \
	void __wrap_pci_config_write##bits(u16 segment, u16 bdf, u16 offset, u##bits v);           \
	void __wrap_pci_config_write##bits(u16 segment, u16 bdf, u16 offset, u##bits v)            \
	{                                                                                          \
		writes++;                                                                          \
		commands += offset == PCI_COMMAND;                                                 \
		__real_pci_config_write##bits(segment, bdf, offset, v);                            \
	}
COUNT(8)
COUNT(16)
COUNT(32)

static u8 *config_of(u16 bdf)
{
	return ecam + ((u64)bdf << 12);
}

/* A function without capabilities, with bus mastering on. */
static u8 *function(u16 bdf)
{
	u8 *c = config_of(bdf);

	c[PCI_VENDOR_ID] = 0x34, c[PCI_VENDOR_ID + 1] = 0x12;
	c[PCI_CLASS + 1] = 0x02;
	c[PCI_COMMAND] = (u8)PCI_COMMAND_BUS_MASTER;
	return c;
}

static void add_pcie(u8 *c, u8 type)
{
	c[PCI_STATUS] |= PCI_STATUS_CAPABILITIES;
	c[PCI_CAPABILITIES] = CAPABILITY_AT;
	c[CAPABILITY_AT] = PCI_CAP_PCIE;
	c[CAPABILITY_AT + 2] = (u8)(type << 4 | 2);
}

#define CONVENTIONAL 0xff

static void bridge(u16 bdf, u8 type, u8 secondary)
{
	u8 *c = function(bdf);

	c[PCI_CLASS] = 4, c[PCI_CLASS + 1] = 6;
	c[PCI_HEADER_TYPE] = 1;
	c[PCI_SECONDARY_BUS] = secondary;
	if (type != CONVENTIONAL)
		add_pcie(c, type);
}

static void check(u16 bdf, bool shared_id)
{
	const struct pci_device *d = pci_find((struct pci_id){ 0, bdf });
	bool is_bridge;

	assert_non_null(d);
	is_bridge = d->header;
	if (d->shared_id != shared_id)
		fail_msg("%04x: shared_id is %d", bdf, d->shared_id);
	assert_int_equal(config_of(bdf)[PCI_COMMAND] & PCI_COMMAND_BUS_MASTER,
			 is_bridge ? PCI_COMMAND_BUS_MASTER : 0);
}

static void bridges(void)
{
	function(PCI_BDF(0, 1, 0)); /* conventional, but with its own requester id */
	bridge(PCI_BDF(0, 2, 0), 4, 1); /* root port */
	function(PCI_BDF(1, 0, 0))[PCI_HEADER_TYPE] = 0x80;
	function(PCI_BDF(1, 0, 3));
	bridge(PCI_BDF(0, 3, 0), 7, 2); /* PCI Express to PCI bridge */
	function(PCI_BDF(2, 0, 0));
	function(PCI_BDF(2, 3, 0));
	bridge(PCI_BDF(2, 4, 0), CONVENTIONAL, 3);
	function(PCI_BDF(3, 1, 0));
	bridge(PCI_BDF(2, 5, 0), 8, 4); /* PCI to PCI Express bridge */
	add_pcie(function(PCI_BDF(4, 0, 0)), 0);
	bridge(PCI_BDF(0, 4, 0), CONVENTIONAL, 5);
	function(PCI_BDF(5, 0, 0));
	bridge(PCI_BDF(0, 10, 0), 8, 9);
	add_pcie(function(PCI_BDF(9, 0, 0)), 0);
	bridge(PCI_BDF(0, 5, 0), 4, 6); /* root port with a switch behind it */
	bridge(PCI_BDF(6, 0, 0), 5, 7);
	bridge(PCI_BDF(7, 1, 0), 6, 8);
	add_pcie(function(PCI_BDF(8, 0, 0)), 0);
	/* Invalid: its own bus, and one that another bridge also leads to. */
	bridge(PCI_BDF(0, 6, 0), CONVENTIONAL, 0);
	bridge(PCI_BDF(0, 7, 0), CONVENTIONAL, 1);
}

/* XSA-49: messages and DMA from behind a bridge to conventional PCI carry the bridge's id, so
 * permission for one function was permission for its neighbours. Weir marks such functions, and
 * kernel/guest/devices/pci/assignable.c never assigns them. */
static void behind_bridges(void **state)
{
	(void)state;
	check(PCI_BDF(0, 1, 0), false);
	check(PCI_BDF(1, 0, 0), false);
	check(PCI_BDF(1, 0, 3), false);
	check(PCI_BDF(2, 0, 0), true);
	check(PCI_BDF(2, 3, 0), true);
	check(PCI_BDF(2, 4, 0), true);
	check(PCI_BDF(3, 1, 0), true);
	check(PCI_BDF(4, 0, 0), true);
	check(PCI_BDF(5, 0, 0), true);
	check(PCI_BDF(9, 0, 0), true);
	check(PCI_BDF(8, 0, 0), false);
	check(PCI_BDF(0, 7, 0), false);
}

#define LOOPS PCI_BDF(20, 0, 0)

static void loops(void)
{
	u8 *c = function(LOOPS);

	bridge(PCI_BDF(0, 8, 0), 4, 20);
	add_pcie(c, 0);
	c[CAPABILITY_AT + 1] = 0x50; /* next */
	c[0x50] = PCI_CAP_MSI, c[0x51] = 0x60;
	c[0x60] = PCI_CAP_MSI, c[0x61] = CAPABILITY_AT;
	c[0x100] = PCI_EXT_CAP_ATS, c[0x102] = 1, c[0x103] = 0x20; /* next: 0x200 */
	c[0x200] = PCI_EXT_CAP_ATS, c[0x202] = 1, c[0x203] = 0x10;
}

/* A capability list that loops ends, what was found first is kept, and every function is listed
 * once. */
static void lists_without_end(void **state)
{
	const struct pci_device *d = pci_find((struct pci_id){ 0, LOOPS }), *e;

	(void)state;
	assert_non_null(d);
	assert_int_equal(d->msi, 0x50);
	assert_int_equal(d->pcie, CAPABILITY_AT);
	assert_int_equal(d->ats, 0x100);
	for (u32 i = 0; (d = pci_device_at(i)); i++)
		for (u32 k = 0; k < i && (e = pci_device_at(k)); k++)
			assert_true(e->id.bdf != d->id.bdf);
}

/* Each function has as many vendor-specific capabilities as its number, in a list that loops back
 * to the first. */
#define VENDOR_FULL PCI_BDF(21, 0, 0)
#define VENDOR_TOO_MANY PCI_BDF(21, 1, 0)

static void add_vendor_capabilities(u16 bdf, u32 nr)
{
	u8 *c = function(bdf);

	c[PCI_STATUS] |= PCI_STATUS_CAPABILITIES;
	c[PCI_CAPABILITIES] = CAPABILITY_AT;
	for (u32 i = 0; i < nr; i++) {
		c[CAPABILITY_AT + 4 * i] = PCI_CAP_VENDOR;
		c[CAPABILITY_AT + 4 * i + 1] = (u8)(CAPABILITY_AT + 4 * ((i + 1) % nr));
	}
}

static void vendor_capabilities(void)
{
	bridge(PCI_BDF(0, 12, 0), 4, 21);
	add_vendor_capabilities(VENDOR_FULL, PCI_VENDOR_CAPS);
	add_vendor_capabilities(VENDOR_TOO_MANY, PCI_VENDOR_CAPS + 2);
}

/* The first ones are kept, and one log line reports that there are more. */
static void too_many_vendor_capabilities(void **state)
{
	static const u16 both[] = { VENDOR_FULL, VENDOR_TOO_MANY };

	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(both); i++) {
		const struct pci_device *d = pci_find((struct pci_id){ 0, both[i] });

		assert_non_null(d);
		for (u32 k = 0; k < PCI_VENDOR_CAPS; k++)
			assert_int_equal(d->vendor_cap[k], CAPABILITY_AT + 4 * k);
	}
	assert_int_equal(vendor_warnings, 1);
}

/* Values of a function's BARs; all other BARs are valid. In the space of these tests each is 16
 * bytes long. */
static const struct {
	u64 bar;
	bool is64, ok;
} said[] = {
	{ 0xe0001000, false, true },
	{ 0xfebffff0, false, true },
	{ 0x100000000, true, true },
	{ 0x8000000000, true, true },
	{ 0, false, false }, /* not set up */
	{ 0x00100000, false, false }, /* RAM */
	{ (RAM_FRAMES << PAGE_SHIFT) - 16, false, false },
	{ RAM_FRAMES << PAGE_SHIFT, false, true },
	{ ECAM_BASE, false, false },
	{ ECAM_BASE + ECAM_SIZE - 16, true, false },
	{ ECAM_BASE + ECAM_SIZE, false, true },
	{ 0xfec00000, false, false }, /* I/O APIC */
	{ 0xfed90000, false, false }, /* where a remapping unit may be */
	{ 0xfee00000, true, false }, /* local APIC */
	{ 0xfffffff0, false, false },
	{ 0xe0002000, false, false }, /* overlaps the next one: both are refused */
	{ 0xe0002000, true, false },
};

static u16 said_by(u32 i)
{
	return PCI_BDF(30, i, 0);
}

static void write_bars(void)
{
	bridge(PCI_BDF(0, 9, 0), 4, 30);
	for (u32 i = 0; i < ARRAY_SIZE(said); i++) {
		u8 *c = function(said_by(i));

		for (u32 k = 0; k < PCI_BARS; k++) {
			u32 bar = 0xd0000000 + 4096 * i + 16 * k;

			memcpy(c + PCI_BAR0 + 4 * k, &bar, 4);
		}
		memcpy(c + PCI_BAR0 + 4, &said[i].bar, said[i].is64 ? 8 : 4);
		if (said[i].is64)
			c[PCI_BAR0 + 4] |= 4;
	}
}

/* A device whose BARs cover Weir's registers, or another device's, would have them mapped into its
 * guest. */
static void bars_that_do_not_tell_the_truth(void **state)
{
	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(said); i++) {
		const struct pci_device *d = pci_find((struct pci_id){ 0, said_by(i) });

		assert_non_null(d);
		assert_int_equal(d->bar[1].base, said[i].bar);
		assert_int_equal(d->bar[1].is64, said[i].is64);
		if (d->bars_ok != said[i].ok)
			fail_msg("a BAR at 0x%lx is considered %s", said[i].bar,
				 d->bars_ok ? "good" : "bad");
	}
}

#define PHYSICAL PCI_BDF(40, 0, 0)

static void physical(void)
{
	u8 *c = function(PHYSICAL);

	bridge(PCI_BDF(0, 11, 0), 4, 40);
	config_of(PCI_BDF(0, 11, 0))[PCI_SUBORDINATE_BUS] = 40;
	add_pcie(c, 0);
	c[CAPABILITY_AT + 7] = 0x10; /* it can be reset */
	c[0x100] = PCI_EXT_CAP_ARI, c[0x102] = 1, c[0x103] = 0x15;
	c[0x150] = PCI_EXT_CAP_SRIOV, c[0x152] = 1;
}

/* Functions added by drivers/sriov.c: their BARs are passed in, and nothing is written to them. */
static void virtual_functions(void **state)
{
	struct pci_device *pf = pci_find((struct pci_id){ 0, PHYSICAL }), *d;
	struct pci_bar bar[PCI_BARS] = { { .base = 0xe8000000, .size = 0x4000 } };
	u8 *c = config_of(PHYSICAL + 0x80);
	u64 ns;

	(void)state;
	assert_non_null(pf);
	assert_int_equal(pf->ari, 0x100);
	assert_int_equal(pf->sriov, 0x150);
	assert_string_equal(pci_reset_method(pf), "function-level reset");
	memset(c, 0xff, 4);
	add_pcie(c, 0);
	d = pci_add_virtual(pf, PHYSICAL + 0x80, 0x10ca, bar);
	assert_ptr_equal(d, pci_find((struct pci_id){ 0, PHYSICAL + 0x80 }));
	assert_true(d->bars_ok);
	assert_int_equal(d->vendor, 0x1234);
	assert_int_equal(d->device, 0x10ca);
	assert_int_equal(d->pcie, CAPABILITY_AT);
	assert_int_equal(pci_physical(d->id).bdf, PHYSICAL);
	assert_int_equal(pci_physical(pf->id).bdf, PHYSICAL);
	assert_int_equal(pci_physical((struct pci_id){ 0, 0x7777 }).bdf, 0x7777);
	(void)pci_reset_start(d);
	assert_int_equal(pci_reset_step(d, &ns), PCI_RESET_DONE);
	assert_int_equal(*(u32 *)(c + PCI_BAR0), 0);
	/* A second function overlaps the first. */
	assert_false(pci_add_virtual(pf, PHYSICAL + 0x82, 0x10ca, bar)->bars_ok);
	assert_false(d->bars_ok);
	bar[0].base = RAM_FRAMES / 2 << PAGE_SHIFT;
	assert_false(pci_add_virtual(pf, PHYSICAL + 0x84, 0x10ca, bar)->bars_ok);
	/* A reset would remove the virtual functions. */
	pf->nr_virtual = 3;
	assert_null(pci_reset_method(pf));
	assert_false(pci_reset_start(pf));
	assert_int_equal(config_of(PHYSICAL)[CAPABILITY_AT + 9], 0);
	pf->nr_virtual = 0;
	assert_true(pci_reset_start(pf));
	assert_int_equal(config_of(PHYSICAL)[CAPABILITY_AT + 9], 0x80);
}

#define DEVCTL (CAPABILITY_AT + 8)
#define DEVSTA (CAPABILITY_AT + 10)
#define PM_AT 0x90

/* Each device is behind its own port, which leads to the bus with its number. */
static u8 *resettable(u32 bus, u8 port_type)
{
	u8 *c = function(PCI_BDF(bus, 0, 0));

	bridge(PCI_BDF(0, bus - 50 + 16, 0), port_type, (u8)bus);
	config_of(PCI_BDF(0, bus - 50 + 16, 0))[PCI_SECONDARY_BUS + 1] = (u8)bus;
	add_pcie(c, 0);
	c[CAPABILITY_AT + 1] = PM_AT;
	c[PM_AT] = PCI_CAP_PM;
	c[DEVCTL] = 0x30; /* maximum payload size */
	return c;
}

static void resets(void)
{
	resettable(50, 4);
	resettable(51, 6);
	resettable(52, 7); /* no link to reset */
	resettable(53, 4);
	function(PCI_BDF(53, 1, 0)); /* a neighbour */
	resettable(54, 4)[CAPABILITY_AT + 7] = 0x10;
	resettable(55, 7)[PM_AT + 4] = 8; /* keeps its state in D3hot */
}

static struct pci_device *on_bus(u32 bus)
{
	return pci_find((struct pci_id){ 0, PCI_BDF(bus, 0, 0) });
}

static u8 link_control(u32 bus)
{
	return config_of(PCI_BDF(0, bus - 50 + 16, 0))[0x3e];
}

static void ways_to_reset(void **state)
{
	struct pci_device *d = on_bus(50);
	u8 *c = config_of(d->id.bdf);
	u64 ns;

	(void)state;
	assert_string_equal(pci_reset_method(on_bus(50)), "hot reset");
	assert_string_equal(pci_reset_method(on_bus(51)), "hot reset");
	assert_string_equal(pci_reset_method(on_bus(52)), "power state D3hot");
	assert_string_equal(pci_reset_method(on_bus(53)), "power state D3hot");
	assert_string_equal(pci_reset_method(on_bus(54)), "function-level reset");
	assert_null(pci_reset_method(on_bus(55)));
	assert_false(pci_reset_start(on_bus(55)));

	/* The link is held in reset for the first half. After the second, the firmware's settings
	 * are restored. */
	config_of(PCI_BDF(0, 16, 0))[0x3e] = 3;
	d->bar[0] = (struct pci_bar){ .base = 0xe9000000, .size = 0x1000 };
	assert_true(pci_reset_start(d));
	assert_int_equal(link_control(50), 0x43);
	c[DEVCTL] = c[PCI_BAR0 + 3] = 0;
	c[PCI_COMMAND] = 0xff;
	assert_int_equal(pci_reset_step(d, &ns), PCI_RESET_WAIT);
	assert_int_equal(ns, PCI_RESET_NS);
	assert_int_equal(link_control(50), 3);
	assert_int_equal(c[DEVCTL], 0);
	assert_int_equal(pci_reset_step(d, &ns), PCI_RESET_DONE);
	assert_int_equal(c[DEVCTL], 0x30);
	assert_int_equal(c[PCI_BAR0 + 3], 0xe9);
	assert_int_equal(c[PCI_COMMAND], 0);

	/* After D3hot the function needs time too (5.9). */
	c = config_of(PCI_BDF(52, 0, 0));
	assert_true(pci_reset_start(on_bus(52)));
	assert_int_equal(c[PM_AT + 4], 3);
	assert_int_equal(pci_reset_step(on_bus(52), &ns), PCI_RESET_WAIT);
	assert_int_equal(c[PM_AT + 4], 0);
	assert_int_equal(pci_reset_step(on_bus(52), &ns), PCI_RESET_DONE);
	assert_int_equal(link_control(52), 0);
	c = config_of(PCI_BDF(54, 0, 0));
	assert_true(pci_reset_start(on_bus(54)));
	assert_int_equal(c[DEVCTL + 1], 0x80);
	assert_int_equal(link_control(54), 0);
	assert_int_equal(pci_reset_step(on_bus(54), &ns), PCI_RESET_DONE);
}

/* The registers of a function that does not answer, until it is told to. */
static u8 hidden[256];

static void fall_silent(u8 *c)
{
	memcpy(hidden, c, sizeof(hidden));
	memset(c, 0xff, sizeof(hidden));
}

static void answer(u8 *c)
{
	memcpy(c, hidden, sizeof(hidden));
}

/* Ask until `ms` have passed; the result of the last step. */
static enum pci_reset_result wait_for(struct pci_device *d, u64 ms)
{
	enum pci_reset_result result;
	u64 passed = 0, ns;

	do {
		result = pci_reset_step(d, &ns);
		assert_true(ns <= 1000000000UL);
		assert_true(result != PCI_RESET_WAIT || ns >= 10000000);
		passed += ns;
	} while (result == PCI_RESET_WAIT && passed < ms * 1000000);
	return result;
}

/* A function that is not ready 100 ms after its reset is not touched before it answers; one that
 * never answers is given up. */
static void slow_to_come_back(void **state)
{
	struct pci_device *d = on_bus(54);
	u8 *c = config_of(d->id.bdf);

	(void)state;
	d->bar[0] = (struct pci_bar){ .base = 0xe9001000, .size = 0x1000 };
	assert_true(pci_reset_start(d));
	c[PCI_BAR0 + 3] = 0;
	fall_silent(c);
	assert_int_equal(wait_for(d, 500), PCI_RESET_WAIT);
	assert_int_equal(c[PCI_BAR0 + 3], 0xff);
	assert_false(pci_reset_is_slow(d));
	assert_int_equal(wait_for(d, 5000), PCI_RESET_WAIT);
	assert_true(pci_reset_is_slow(d));
	/* It asks for more time: "configuration request retry" (2.3.1). */
	c[0] = 1, c[1] = 0;
	assert_int_equal(wait_for(d, 5000), PCI_RESET_WAIT);
	answer(c);
	assert_int_equal(wait_for(d, 5000), PCI_RESET_DONE);
	assert_int_equal(c[PCI_BAR0 + 3], 0xe9);
	assert_false(pci_reset_is_slow(d));
	assert_false(d->reset.lost);

	assert_true(pci_reset_start(d));
	fall_silent(c);
	assert_int_equal(wait_for(d, 59000), PCI_RESET_WAIT);
	assert_int_equal(wait_for(d, 3000), PCI_RESET_LOST);
	assert_true(d->reset.lost);
	assert_int_equal(wait_for(d, 1), PCI_RESET_LOST);
	/* Nothing was written to it, and it may be tried again. */
	for (u32 i = 0; i < sizeof(hidden); i++)
		assert_int_equal(c[i], 0xff);
	answer(c);
	assert_true(pci_reset_start(d));
	assert_int_equal(wait_for(d, 1000), PCI_RESET_DONE);
}

/* Answers to requests that are under way are awaited, but not for ever. */
static void requests_under_way(void **state)
{
	struct pci_device *d = on_bus(54);
	u8 *c = config_of(d->id.bdf);

	(void)state;
	c[DEVCTL + 1] = 0;
	c[DEVSTA] = 0x20;
	pending_warnings = 0;
	assert_true(pci_reset_start(d));
	assert_int_equal(wait_for(d, 300), PCI_RESET_WAIT);
	assert_int_equal(c[DEVCTL + 1], 0);
	c[DEVSTA] = 0;
	assert_int_equal(wait_for(d, 1), PCI_RESET_WAIT);
	assert_int_equal(c[DEVCTL + 1], 0x80);
	assert_int_equal(wait_for(d, 1), PCI_RESET_DONE);
	assert_int_equal(pending_warnings, 0);

	c[DEVCTL + 1] = 0;
	c[DEVSTA] = 0x20;
	assert_true(pci_reset_start(d));
	assert_int_equal(wait_for(d, 1050), PCI_RESET_WAIT);
	assert_int_equal(c[DEVCTL + 1], 0x80);
	assert_int_equal(pending_warnings, 1);
	assert_int_equal(wait_for(d, 1), PCI_RESET_DONE);
	c[DEVSTA] = 0;
}

/* Root buses that no bridge leads to, as on every machine with several sockets. One has a bridge to
 * a bus with a lower number. */
static void other_roots(void)
{
	function(PCI_BDF(0x80, 1, 0));
	bridge(PCI_BDF(0x80, 2, 0), 4, 0x81);
	function(PCI_BDF(0x81, 0, 0));
	bridge(PCI_BDF(0x80, 3, 0), CONVENTIONAL, 0x7f);
	function(PCI_BDF(0x7f, 0, 0));
	function(PCI_BDF(0xff, 31, 0))[PCI_HEADER_TYPE] = 0x80;
	function(PCI_BDF(0xff, 31, 7));
	/* A notebook's CardBus slot. */
	function(PCI_BDF(0x80, 4, 0))[PCI_HEADER_TYPE] = 2;
	config_of(PCI_BDF(0x80, 4, 0))[PCI_SECONDARY_BUS] = 0x90;
	function(PCI_BDF(0x90, 0, 0));
	/* These lead to each other. */
	bridge(PCI_BDF(0xa0, 0, 0), 4, 0xa1);
	bridge(PCI_BDF(0xa1, 0, 0), 4, 0xa0);
	function(PCI_BDF(0xa1, 1, 0));
}

static void behind_other_roots(void **state)
{
	(void)state;
	check(PCI_BDF(0x80, 1, 0), false);
	check(PCI_BDF(0x81, 0, 0), false);
	check(PCI_BDF(0x7f, 0, 0), true);
	check(PCI_BDF(0xff, 31, 0), false);
	check(PCI_BDF(0xff, 31, 7), false);
	check(PCI_BDF(0x90, 0, 0), true);
	check(PCI_BDF(0xa1, 1, 0), true);
}

static void set_class(u16 bdf, u16 vendor, u16 class)
{
	u8 *c = function(bdf);
	u32 value = 0xe4000000 + 0x1000u * (bdf & 0xff);

	memcpy(c + PCI_VENDOR_ID, &vendor, 2);
	memcpy(c + PCI_CLASS, &class, 2);
	memcpy(c + PCI_BAR0, &value, 4);
}

#define CLASSES 0xd0

static void classes(void)
{
	set_class(PCI_BDF(CLASSES, 0, 0), 0x8086, 0x0600);
	set_class(PCI_BDF(CLASSES, 1, 0), 0x8086, 0x0601);
	set_class(PCI_BDF(CLASSES, 2, 0), 0x8086, 0x0680);
	set_class(PCI_BDF(CLASSES, 3, 0), 0x8086, 0x0604); /* no header of a bridge */
	set_class(PCI_BDF(CLASSES, 4, 0), 0x8086, 0x0880); /* uncore */
	set_class(PCI_BDF(CLASSES, 5, 0), 0x8086, 0x1101);
	set_class(PCI_BDF(CLASSES, 6, 0), 0x1234, 0x0880);
	set_class(PCI_BDF(CLASSES, 7, 0), 0x8086, 0x0880); /* a DMA engine */
	add_pcie(config_of(PCI_BDF(CLASSES, 7, 0)), 9);
	config_of(PCI_BDF(CLASSES, 7, 0))[CAPABILITY_AT] = PCI_CAP_MSIX;
}

/* What is an endpoint is quiet; where there are other registers in the place of BARs, they are not
 * written. */
static void classes_of_functions(void **state)
{
	static const struct {
		bool endpoint, sized;
	} expected[] = { { false, false }, { false, false }, { true, true }, { true, true },
			 { true, false },  { true, false },  { true, true }, { true, true } };

	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(expected); i++) {
		u16 bdf = PCI_BDF(CLASSES, i, 0);
		const struct pci_device *d = pci_find((struct pci_id){ 0, bdf });

		assert_non_null(d);
		assert_int_equal(pci_is_endpoint(d), expected[i].endpoint);
		assert_int_equal(config_of(bdf)[PCI_COMMAND] & PCI_COMMAND_BUS_MASTER,
				 expected[i].endpoint ? 0 : PCI_COMMAND_BUS_MASTER);
		assert_int_equal(d->bar[0].size != 0, expected[i].sized);
		assert_true(!expected[i].endpoint || expected[i].sized || d->bars_ok);
	}
}

/* A function costs few accesses: on a slow machine each takes microseconds, and a change of the
 * command register of an emulated one milliseconds. */
static void few_accesses(void **state)
{
	u16 bdf = PCI_BDF(CLASSES, 19, 0);
	u8 *c = function(bdf);

	(void)state;
	set_class(bdf, 0x1234, 0x0108);
	add_pcie(c, 0);
	c[PCI_COMMAND] = (u8)(PCI_COMMAND_BUS_MASTER | PCI_COMMAND_MEMORY);
	reads = writes = commands = 0;
	assert_non_null(pci_add_late((struct pci_id){ 0, bdf }));
	assert_int_equal(c[PCI_COMMAND], PCI_COMMAND_MEMORY);
	assert_int_equal(commands, 2);
	assert_true(writes <= 2 + 2 * PCI_BARS);
	/* The bridges above are looked through too. */
	assert_true(reads <= 12 + 2 * PCI_BARS + 40);
	/* One that does not decode yet. */
	c = function(bdf + 1);
	c[PCI_COMMAND] = (u8)PCI_COMMAND_BUS_MASTER;
	commands = 0;
	assert_non_null(pci_add_late((struct pci_id){ 0, (u16)(bdf + 1) }));
	assert_int_equal(c[PCI_COMMAND], 0);
	assert_int_equal(commands, 1);
}

/* Functions come, go and are exchanged. */
static void hot_plug(void **state)
{
	u16 bdf = PCI_BDF(CLASSES, 20, 0), behind = PCI_BDF(2, 9, 0);
	u8 *c = function(bdf);
	struct pci_device *d;
	u64 ns;

	(void)state;
	set_class(bdf, 0x1234, 0x0108);
	assert_null(pci_add_late((struct pci_id){ 0, PCI_BDF(CLASSES, 21, 0) }));
	d = pci_add_late((struct pci_id){ 0, bdf });
	assert_ptr_equal(d, pci_find((struct pci_id){ 0, bdf }));
	assert_false(d->bars_ok); /* no firmware has set them all */
	assert_int_equal(c[PCI_COMMAND] & PCI_COMMAND_BUS_MASTER, 0);
	function(behind);
	assert_true(pci_add_late((struct pci_id){ 0, behind })->shared_id);

	d->bar[0] = (struct pci_bar){ .base = 0xe4000000 + 0x1000 * 0xa0, .size = 0x1000 };
	memset(d->bar + 1, 0, sizeof(d->bar) - sizeof(d->bar[0]));
	assert_int_equal(pci_look(d), PCI_PRESENT);
	/* Another one like it gets its addresses with its reset. */
	memset(c + PCI_BAR0, 0, 4);
	assert_int_equal(pci_look(d), PCI_UNSET);
	(void)pci_reset_start(d);
	while (pci_reset_step(d, &ns) == PCI_RESET_WAIT)
		;
	assert_int_equal(pci_look(d), PCI_PRESENT);
	/* A different one is read anew. */
	set_class(bdf, 0x4321, 0x0200);
	assert_int_equal(pci_look(d), PCI_EXCHANGED);
	assert_non_null(pci_presence_why_not(pci_seen(d)));
	c[PCI_COMMAND] = PCI_COMMAND_BUS_MASTER;
	pci_read_again(d);
	assert_int_equal(d->vendor, 0x4321);
	assert_int_equal(d->class, 0x0200);
	assert_int_equal(c[PCI_COMMAND] & PCI_COMMAND_BUS_MASTER, 0);
	assert_int_equal(pci_look(d), PCI_PRESENT);
	memset(c, 0xff, 256);
	assert_int_equal(pci_look(d), PCI_GONE);
	assert_non_null(pci_presence_why_not(pci_seen(d)));
}

/* Run last: the list is full, and those that are not in it are quiet all the same. */
static void more_than_the_list_holds(void **state)
{
	u32 nr = 0;

	(void)state;
	assert_true(pci_list_is_whole());
	assert_string_equal(pci_reset_method(on_bus(50)), "hot reset");
	for (u32 bus = 0xb0; bus < 0xc0; bus++)
		for (u32 n = 0; n < 256; n++)
			function((u16)(bus << 8 | n))[PCI_HEADER_TYPE] = 0x80;
	pci_init();
	while (pci_device_at(nr))
		nr++;
	assert_int_equal(nr, PCI_MAX_DEVICES);
	assert_int_equal(list_warnings, 1);
	assert_null(pci_find((struct pci_id){ 0, 0xbfff }));
	for (u32 bdf = 0xb000; bdf < 0xc000; bdf++)
		assert_int_equal(config_of((u16)bdf)[PCI_COMMAND] & PCI_COMMAND_BUS_MASTER, 0);
	/* There may be something else behind the port. */
	assert_false(pci_list_is_whole());
	assert_string_equal(pci_reset_method(on_bus(50)), "power state D3hot");
}

static int setup(void **state)
{
	(void)state;
	if (!map_ecam())
		return -1;
	bridges();
	loops();
	vendor_capabilities();
	write_bars();
	physical();
	resets();
	other_roots();
	classes();
	pci_init();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(behind_bridges),
		cmocka_unit_test(lists_without_end),
		cmocka_unit_test(too_many_vendor_capabilities),
		cmocka_unit_test(bars_that_do_not_tell_the_truth),
		cmocka_unit_test(virtual_functions),
		cmocka_unit_test(ways_to_reset),
		cmocka_unit_test(slow_to_come_back),
		cmocka_unit_test(requests_under_way),
		cmocka_unit_test(behind_other_roots),
		cmocka_unit_test(classes_of_functions),
		cmocka_unit_test(few_accesses),
		cmocka_unit_test(hot_plug),
		cmocka_unit_test(more_than_the_list_holds),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
