/* The list of functions, against a configuration space of software that tells what it likes.
 *
 * sources: drivers/pci.c kernel/rangeset.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <drivers/acpi.h>
#include <drivers/pci.h>
#include <kernel/bootmem.h>
#include <kernel/paging.h>
#include <kernel/rangeset.h>
#include <kernel/string.h>

#include <cmocka.h>

#define ECAM_BASE 0xb0000000UL
#define ECAM_SIZE (256UL << 20)
#define CAPABILITY_AT 0x40

static u8 *ecam;

const struct acpi_header *acpi_find(const char signature[4])
{
	static const u64 something[8];

	return memcmp(signature, "MCFG", 4) ? NULL : (const void *)something;
}

u32 acpi_parse_mcfg(const struct acpi_header *table, struct acpi_ecam *out, u32 max)
{
	(void)table;
	assert_true(max >= 1);
	out[0] = (struct acpi_ecam){ .address = ECAM_BASE, .last_bus = 255 };
	return 1;
}

volatile void *mmio_map(paddr_t pa, size_t size)
{
	assert_true(pa >= ECAM_BASE && pa + size <= ECAM_BASE + ECAM_SIZE);
	return ecam + (pa - ECAM_BASE);
}

const struct rangeset *bootmem_ram(void)
{
	static struct range range[1];
	static struct rangeset ram = { .range = range };

	return &ram;
}

static u8 *config_of(u16 bdf)
{
	return ecam + ((u64)bdf << 12);
}

/* A function without capabilities, its bus master on. */
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
	is_bridge = d->header == 1;
	if (d->shared_id != shared_id)
		fail_msg("%04x: shared_id is %d", bdf, d->shared_id);
	assert_int_equal(config_of(bdf)[PCI_COMMAND] & PCI_COMMAND_BUS_MASTER,
			 is_bridge ? PCI_COMMAND_BUS_MASTER : 0);
}

static int setup(void **state)
{
	(void)state;
	ecam = mmap(NULL, ECAM_SIZE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return ecam == MAP_FAILED;
}

/* XSA-49: messages and DMA from behind a bridge to conventional PCI carry the bridge's id, and what was let through for one function
 * was let through for its neighbours. Such functions are marked here, and kernel/assign.c gives them to nobody. */
static void behind_bridges(void **state)
{
	u32 nr = 0;

	(void)state;
	function(PCI_BDF(0, 1, 0)); /* conventional, but with an id of its own */
	bridge(PCI_BDF(0, 2, 0), 4, 1); /* root port */
	function(PCI_BDF(1, 0, 0))[PCI_HEADER_TYPE] = 0x80;
	function(PCI_BDF(1, 0, 3));
	bridge(PCI_BDF(0, 3, 0), 7, 2); /* PCI Express to PCI */
	function(PCI_BDF(2, 0, 0));
	function(PCI_BDF(2, 3, 0));
	bridge(PCI_BDF(2, 4, 0), CONVENTIONAL, 3);
	function(PCI_BDF(3, 1, 0));
	bridge(PCI_BDF(2, 5, 0), 8, 4); /* PCI to PCI Express */
	add_pcie(function(PCI_BDF(4, 0, 0)), 0);
	bridge(PCI_BDF(0, 4, 0), CONVENTIONAL, 5);
	function(PCI_BDF(5, 0, 0));
	bridge(PCI_BDF(0, 5, 0), 4, 6); /* root port, a switch behind it */
	bridge(PCI_BDF(6, 0, 0), 5, 7);
	bridge(PCI_BDF(7, 1, 0), 6, 8);
	add_pcie(function(PCI_BDF(8, 0, 0)), 0);
	/* Nonsense: its own bus, and one that another leads to as well. */
	bridge(PCI_BDF(0, 6, 0), CONVENTIONAL, 0);
	bridge(PCI_BDF(0, 7, 0), CONVENTIONAL, 1);

	pci_init();
	while (pci_device_at(nr))
		nr++;
	assert_int_equal(nr, 19);
	check(PCI_BDF(0, 1, 0), false);
	check(PCI_BDF(1, 0, 0), false);
	check(PCI_BDF(1, 0, 3), false);
	check(PCI_BDF(2, 0, 0), true);
	check(PCI_BDF(2, 3, 0), true);
	check(PCI_BDF(2, 4, 0), true);
	check(PCI_BDF(3, 1, 0), true);
	check(PCI_BDF(4, 0, 0), true);
	check(PCI_BDF(5, 0, 0), true);
	check(PCI_BDF(8, 0, 0), false);
	check(PCI_BDF(0, 7, 0), false);
}

/* A list that leads back to itself ends, and what was found first stays. */
static void capability_lists_without_end(void **state)
{
	const struct pci_id id = { 0, PCI_BDF(20, 0, 0) };
	const struct pci_device *d;
	u8 *c;

	(void)state;
	bridge(PCI_BDF(0, 8, 0), 4, 20);
	c = function(id.bdf);
	add_pcie(c, 0);
	c[CAPABILITY_AT + 1] = 0x50; /* next */
	c[0x50] = PCI_CAP_MSI, c[0x51] = 0x60;
	c[0x60] = PCI_CAP_MSI, c[0x61] = CAPABILITY_AT;
	c[0x100] = PCI_EXT_CAP_ATS, c[0x102] = 1, c[0x103] = 0x20; /* next: 0x200 */
	c[0x200] = PCI_EXT_CAP_ATS, c[0x202] = 1, c[0x203] = 0x10;
	pci_init();
	d = pci_find(id);
	assert_non_null(d);
	assert_int_equal(d->msi, 0x50);
	assert_int_equal(d->pcie, CAPABILITY_AT);
	assert_int_equal(d->ats, 0x100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(behind_bridges),
		cmocka_unit_test(capability_lists_without_end),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
