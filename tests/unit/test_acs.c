/* Access control services: which bits a function and the ports above it get, against a simulated
 * configuration space in which a reset clears the function's own.
 *
 * sources: drivers/pci.c drivers/pciconfig.c drivers/pcicap.c drivers/pcidma.c drivers/pcibar.c
 * sources: drivers/pcireset.c drivers/pciacs.c drivers/pcipresence.c kernel/lib/rangeset.c
 * sources: kernel/lib/pci_id.c
 * libs: -Wl,--wrap=pci_config_write16
 */
#include "test.h"

#include "pci_ecam.h"

#include <sys/mman.h>

#include <drivers/acpi.h>
#include <drivers/pci.h>
#include <drivers/pciacs.h>
#include <drivers/pcireset.h>
#include <kernel/core/log.h>
#include <kernel/core/paging.h>
#include <kernel/lib/rangeset.h>
#include <kernel/mm/bootmem.h>

#define PCIE_AT 0x40
#define DEVCAP_FLR_BYTE (PCIE_AT + 7)
#define ATS_AT 0x100
#define ACS_AT 0x140

/* The bits of 7.7.11.2, as the specification numbers them. */
#define V BIT(0)
#define B BIT(1)
#define R BIT(2)
#define C BIT(3)
#define U BIT(4)
#define E BIT(5)
#define T BIT(6)
#define ALL (V | B | R | C | U | E | T)

enum { ENDPOINT = 0, ROOT_PORT = 4, UPSTREAM = 5, DOWNSTREAM = 6 };

/* A root port leads to a switch, one of whose downstream ports leads to a device with two functions
 * and, on a bus of its own, a virtual one. */
#define ROOT PCI_BDF(0, 1, 0)
#define OTHER_ROOT PCI_BDF(0, 2, 0)
#define UP PCI_BDF(1, 0, 0)
#define DOWN PCI_BDF(2, 3, 0)
#define OTHER_DOWN PCI_BDF(2, 4, 0)
#define FUNCTION PCI_BDF(3, 0, 0)
#define SIBLING PCI_BDF(3, 0, 1)
#define VIRTUAL PCI_BDF(4, 0, 0)
/* On a root bus; and a port that claims to lead to its own bus. */
#define INTEGRATED PCI_BDF(0, 5, 0)
#define LOOP PCI_BDF(9, 0, 0)
#define IN_LOOP PCI_BDF(9, 1, 0)

static u8 *config_of(u16 bdf)
{
	return ecam + ((u64)bdf << 12);
}

static u16 *acs_of(u16 bdf, u16 reg)
{
	return (u16 *)(config_of(bdf) + ACS_AT + reg);
}

static u16 acs_control(u16 bdf)
{
	return *acs_of(bdf, 6);
}

void __real_pci_config_write16(u16 segment, u16 bdf, u16 offset, u16 v);
void __wrap_pci_config_write16(u16 segment, u16 bdf, u16 offset, u16 v);

/* Bits that are not offered must not even be written. A function-level reset clears the others. */
void __wrap_pci_config_write16(u16 segment, u16 bdf, u16 offset, u16 v)
{
	if (offset == ACS_AT + 6)
		assert_int_equal(v & ~*acs_of(bdf, 4) & ~acs_control(bdf), 0);
	if (offset == PCIE_AT + 8 && v & BIT(15)) {
		*acs_of(bdf, 6) = 0;
		v &= (u16)~BIT(15);
	}
	__real_pci_config_write16(segment, bdf, offset, v);
}

/* --- the machine ---------------------------------------------------------- */

static u8 *function(u16 bdf, u8 type, u64 offered)
{
	u8 *c = config_of(bdf);

	c[PCI_VENDOR_ID] = 0x34, c[PCI_VENDOR_ID + 1] = 0x12;
	c[PCI_CLASS + 1] = 0x02;
	c[PCI_STATUS] = PCI_STATUS_CAPABILITIES;
	c[PCI_CAPABILITIES] = PCIE_AT;
	c[PCIE_AT] = PCI_CAP_PCIE;
	c[PCIE_AT + 2] = (u8)(type << 4 | 2);
	/* ATS first, then ACS. */
	*(u32 *)(c + ATS_AT) = 0xf | 1 << 16 | ACS_AT << 20;
	*(u32 *)(c + ACS_AT) = 0xd | 1 << 16;
	*acs_of(bdf, 4) = (u16)offered;
	*acs_of(bdf, 6) = 0;
	return c;
}

static void port(u16 bdf, u8 type, u8 secondary, u64 offered)
{
	u8 *c = function(bdf, type, offered);

	c[PCI_CLASS] = 4, c[PCI_CLASS + 1] = 6;
	c[PCI_HEADER_TYPE] = 1;
	c[PCI_SECONDARY_BUS] = secondary;
	c[PCI_SUBORDINATE_BUS] = 4;
}

static struct pci_device *find(u16 bdf)
{
	struct pci_device *d = pci_find((struct pci_id){ 0, bdf });

	assert_non_null(d);
	return d;
}

/* As Weir takes a function over, or resets it: until it answers again. */
static void take_over(u16 bdf)
{
	struct pci_device *d = find(bdf);
	u64 ns;

	(void)pci_reset_start(d);
	while (pci_reset_step(d, &ns) == PCI_RESET_WAIT)
		;
}

/* Each function and port offers what it has at most. */
static int start(void **state)
{
	static const struct pci_bar no_bars[PCI_BARS];
	static bool listed;

	(void)state;
	port(ROOT, ROOT_PORT, 1, ALL);
	port(OTHER_ROOT, ROOT_PORT, 8, ALL);
	port(UP, UPSTREAM, 2, R | C | E | T);
	port(DOWN, DOWNSTREAM, 3, ALL);
	port(OTHER_DOWN, DOWNSTREAM, 5, ALL);
	function(FUNCTION, ENDPOINT, R | C | E | T)[PCI_HEADER_TYPE] = 0x80;
	config_of(FUNCTION)[DEVCAP_FLR_BYTE] = 0x10;
	function(SIBLING, ENDPOINT, R | C | E | T);
	function(INTEGRATED, ENDPOINT, R | C);
	port(LOOP, DOWNSTREAM, 9, ALL);
	function(IN_LOOP, ENDPOINT, 0);
	if (!listed) {
		pci_init();
		function(VIRTUAL, ENDPOINT, R | C);
		assert_non_null(pci_add_virtual(find(FUNCTION), VIRTUAL, 1, no_bars));
		listed = true;
	}
	*acs_of(VIRTUAL, 6) = 0;
	return 0;
}

static int setup(void **state)
{
	(void)state;
	return map_ecam() ? 0 : -1;
}

/* --- tests ---------------------------------------------------------------- */

/* Neither its siblings nor what is behind other ports is reached past the unit. What another domain
 * has is left alone. */
static void on_the_whole_way_up(void **state)
{
	(void)state;
	take_over(FUNCTION);
	assert_int_equal(acs_control(FUNCTION), R | C);
	assert_int_equal(acs_control(DOWN), V | R | C | U);
	assert_int_equal(acs_control(UP), R | C);
	assert_int_equal(acs_control(ROOT), V | R | C | U);
	assert_int_equal(acs_control(SIBLING), 0);
	assert_int_equal(acs_control(OTHER_DOWN), 0);
	assert_int_equal(acs_control(OTHER_ROOT), 0);
}

/* A virtual function's bus is one that only its physical function's port leads to. */
static void of_a_virtual_function(void **state)
{
	(void)state;
	take_over(VIRTUAL);
	assert_int_equal(acs_control(VIRTUAL), R | C);
	assert_int_equal(acs_control(DOWN), V | R | C | U);
	assert_int_equal(acs_control(ROOT), V | R | C | U);
}

static void after_each_reset(void **state)
{
	(void)state;
	for (u32 i = 0; i < 3; i++) {
		struct pci_device *d = find(FUNCTION);
		u64 ns;

		assert_string_equal(pci_reset_method(d), "function-level reset");
		assert_true(pci_reset_start(d));
		assert_int_equal(acs_control(FUNCTION), 0); /* the reset has cleared it */
		while (pci_reset_step(d, &ns) == PCI_RESET_WAIT)
			;
		assert_int_equal(acs_control(FUNCTION), R | C);
	}
}

/* What the firmware has set stays, but requests that a device has translated go to the unit. */
static void what_the_firmware_has_set(void **state)
{
	(void)state;
	*acs_of(FUNCTION, 6) = (u16)(T | E);
	*acs_of(DOWN, 6) = (u16)(T | B);
	*acs_of(SIBLING, 6) = (u16)T;
	pci_acs_isolate(find(FUNCTION));
	assert_int_equal(acs_control(FUNCTION), E | R | C);
	assert_int_equal(acs_control(DOWN), B | V | R | C | U);
	assert_int_equal(acs_control(SIBLING), T);
}

/* Whatever is offered: that and no more, and only a port validates and forwards. */
static void only_what_is_offered(void **state)
{
	(void)state;
	for (u64 offered = 0; offered <= ALL; offered++) {
		*acs_of(FUNCTION, 4) = *acs_of(DOWN, 4) = *acs_of(UP, 4) = (u16)offered;
		*acs_of(FUNCTION, 6) = *acs_of(DOWN, 6) = *acs_of(UP, 6) = 0;
		take_over(FUNCTION);
		assert_int_equal(acs_control(FUNCTION), offered & (R | C));
		assert_int_equal(acs_control(UP), offered & (R | C));
		assert_int_equal(acs_control(DOWN), offered & (V | R | C | U));
	}
}

static void without_ports_or_without_acs(void **state)
{
	u16 acs = find(FUNCTION)->acs;

	(void)state;
	assert_int_equal(acs, ACS_AT);
	take_over(INTEGRATED);
	assert_int_equal(acs_control(INTEGRATED), R | C);
	assert_int_equal(acs_control(ROOT), 0);
	/* A loop of ports ends. */
	take_over(IN_LOOP);
	assert_int_equal(acs_control(IN_LOOP), 0);
	/* The function has no capability, but the ports above it have. */
	find(FUNCTION)->acs = 0;
	take_over(FUNCTION);
	find(FUNCTION)->acs = acs;
	assert_int_equal(acs_control(FUNCTION), 0);
	assert_int_equal(acs_control(DOWN), V | R | C | U);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(on_the_whole_way_up, start),
		cmocka_unit_test_setup(of_a_virtual_function, start),
		cmocka_unit_test_setup(after_each_reset, start),
		cmocka_unit_test_setup(what_the_firmware_has_set, start),
		cmocka_unit_test_setup(only_what_is_offered, start),
		cmocka_unit_test_setup(without_ports_or_without_acs, start),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
