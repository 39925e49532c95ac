/* A device's BARs on the virtual PCI bus: where they are, and what of them is trapped.
 *
 * sources: $(VPCI_SRCS)
 */
#include <tests/unit/vpci_machine.h>

#include <kernel/guest/devices/pci/vbar.h>

static void bars_are_sized_and_moved(void **state)
{
	u32 at0 = cfg_read(3, 0x10, 4), at3 = cfg_read(3, 0x1c, 4);

	(void)state;
	assert_true(at0 >= 0xe0000000 && at3 >= 0xe0000000);
	assert_int_equal(cfg_read(3, 0x18, 4), 0); /* the I/O BAR is hidden */
	cfg_write(3, 0x10, 4, 0xffffffff);
	assert_int_equal(cfg_read(3, 0x10, 4), 0xfffe0000);
	cfg_write(3, 0x10, 4, at0);
	cfg_write(3, 0x1c, 4, 0xffffffff);
	assert_int_equal(cfg_read(3, 0x1c, 4), 0xffffc000);
	cfg_write(3, 0x1c, 4, at3);
	assert_int_equal(direct_pages, 0);

	cfg_write(3, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	/* BAR 3: the table is in page 0, the pending bits in page 2, and page 1 is between them. */
	assert_int_equal(direct_pages, 0x20 + 1);
	assert_int_equal(mem_read(at3 + 12, 4), 1);
	cfg_write(3, 0x1c, 4, 0xe8000000);
	assert_int_equal(mem_read(0xe8000000 + 12, 4), 1);
	assert_int_equal(mem_read(at3 + 12, 4), 0xffffffff);
	/* Over RAM or over the APIC's page: the BAR is not mapped at all. */
	cfg_write(3, 0x1c, 4, 0x00100000);
	cfg_write(3, 0x10, 4, 0xfee00000);
	assert_int_equal(dom.vm.mmio.nr, 0);
	check_device();
}

/* Two devices of 32 MiB come and go in turn: the window's addresses are used again, whatever the
 * guest has written into its BARs. */
static void the_window_is_used_again(void **state)
{
	struct pci_device big = { .bar[1] = { .base = 1UL << 32, .size = 32UL << 20 } };
	struct vpci *p = dom.pci;
	struct vfunction f[2] = { { .domain = &dom, .bus = p, .dev = &big },
				  { .domain = &dom, .bus = p, .dev = &big } };

	(void)state;
	spin_lock(&p->lock);
	for (u32 i = 0; i < 40; i++) {
		struct vfunction *here = &f[i % 2], *other = &f[!(i % 2)];

		p->slot[5 + i % 2] = NULL;
		assert_int_equal(vbar_place(here), 0);
		assert_true(here->bar[1].address == 0xe2000000 ||
			    here->bar[1].address == 0xe4000000);
		assert_int_equal(here->bar[1].address & 0x1ffffff, 0);
		assert_int_not_equal(here->bar[1].address, other->bar[1].place);
		here->bar[1].address = 0xfc000000; /* the guest moves it */
		p->slot[5 + i % 2] = here;
	}
	/* It is full: 256 MiB more, and what is left is in two pieces. */
	big.bar[1].size = 256UL << 20;
	p->slot[5] = NULL;
	assert_int_equal(vbar_place(&f[0]), -ENOSPC);
	big.bar[1].size = 1UL << 40;
	assert_int_equal(vbar_place(&f[0]), -ENOSPC);
	p->slot[5] = p->slot[6] = NULL;
	spin_unlock(&p->lock);
}

/* What is full is named, with its size, whose it is, and what helps. */
static void what_is_full_is_named(void **state)
{
	struct vfunction other = { 0 };
	struct vpci *p = dom.pci;

	(void)state;
	assert_int_equal(assign_take(&device), 0);
	fire();
	said[0] = 0;
	for (u32 i = 1; i < VPCI_BALLOON_SLOT; i++)
		p->slot[i] = &other;
	other.dev = &(struct pci_device){ 0 };
	assert_int_equal(assign_start(&dom, &device, 0), 0);
	fire();
	fire();
	assert_int_equal(device.state, PCI_FREE);
	check_said("domain net0: device 00:03.0: all 30 slots of the guest's PCI bus are taken: "
		   "give the guest fewer devices");
	memset(p->slot, 0, sizeof(p->slot));

	device.bar[1] = (struct pci_bar){ .base = 1UL << 32, .size = 512UL << 20 };
	assert_int_equal(assign_start(&dom, &device, 0), 0);
	fire();
	fire();
	assert_int_equal(device.state, PCI_FREE);
	check_said("domain net0: device 00:03.0: its BARs take 524432 KiB, and the guest's window "
		   "for all devices' BARs (492 MiB) has no such place free: give the guest fewer "
		   "devices");
	device.bar[1].size = 0;

	/* A table of Weir's own: the guest's device is there, but one of its BARs is not. */
	assert_int_equal(assign_start(&dom, &device, 0), 0);
	fire();
	assert_int_equal(device.state, PCI_ATTACHED);
	for (u64 i = 0; dom.vm.mmio.nr < BUS_MAX_RANGES; i++)
		assert_int_equal(bus_add(&dom.vm.mmio,
					 &(struct bus_range){ .first = i << 12, .last = i << 12 }),
				 0);
	cfg_write(3, 0x1c, 4, 0xe8000000);
	cfg_write(3, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	check_said("domain net0: all 32 ranges of its memory that Weir can trap are in use "
		   "(BUS_MAX_RANGES): what the guest put at 0xe8000000 is not there: give the "
		   "guest fewer devices");
	bus_init(&dom.vm.mmio, dom.name, "memory");
}

static int setup_two_traps(void **state)
{
	pba_in_bar0 = true;
	return setup(state);
}

static int teardown_two_traps(void **state)
{
	int ret = teardown(state);

	pba_in_bar0 = false;
	return ret;
}

/* Two BARs with trapped pages are placed over each other: the one that was there first stays
 * complete, and a trapped access never reaches the registers of the other BAR or anything next to
 * them. */
static void bars_on_top_of_each_other(void **state)
{
	const u32 at = 0xe8000000, inside = at + 0x4000;

	(void)state;
	cfg_write(3, 0x10, 4, at);
	cfg_write(3, 0x1c, 4, 0xe9000000);
	cfg_write(3, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	assert_int_equal(direct_pages, 0x1f + 3);
	assert_int_equal(dom.vm.mmio.nr, 2);
	cfg_write(3, 0x1c, 4, inside);
	for (int i = 0; i < 3; i++) { /* each write tries to map it again */
		assert_int_equal(direct_pages, 0x1f);
		assert_int_equal(dom.vm.mmio.nr, 1);
		assert_int_equal(mem_read(inside, 4), 0xffffffff);
		mem_write(inside, 4, 0x12345678);
		cfg_write(3, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	}
	/* The reverse: BAR 0 is moved to where BAR 3 is. */
	cfg_write(3, 0x10, 4, 0xea000000);
	assert_int_equal(mem_read(inside + 12, 4), 1);
	cfg_write(3, 0x10, 4, at);
	assert_int_equal(direct_pages, 3);
	assert_int_equal(mem_read(inside + 12, 4), 1);
	/* The trapped pages of both at the same address. */
	cfg_write(3, 0x1c, 4, at + 0x10000);
	assert_int_equal(mem_read(at + 0x10000, 4), 0);
	assert_true(dom.vm.mmio.nr >= 1);
	check_device();
}

static int setup_pba_outside(void **state)
{
	pba_outside = true;
	return setup(state);
}

static int teardown_pba_outside(void **state)
{
	int ret = teardown(state);

	pba_outside = false;
	return ret;
}

/* A driver can do without the pending bits: their place is wrong, and the device is given. */
static void pending_bits_in_no_bar(void **state)
{
	u64 table = cfg_read(3, 0x1c, 4);

	(void)state;
	assert_int_equal(device.state, PCI_ATTACHED);
	cfg_write(3, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_BUS_MASTER);
	/* Only the page of the table is trapped. */
	assert_int_equal(direct_pages, 0x20 + 3);
	cfg_write(3, CAP_MSIX_AT + 2, 2, 0x8000);
	mem_write(table, 4, 0xfee00000);
	mem_write(table + 8, 4, 0x41);
	mem_write(table + 12, 4, 0);
	irq_handler[0x30](irq_arg[0x30]);
	assert_int_equal(delivered_vector, 0x41);
	check_device();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(bars_are_sized_and_moved, setup, teardown),
		cmocka_unit_test_setup_teardown(the_window_is_used_again, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_full_is_named, setup, teardown),
		cmocka_unit_test_setup_teardown(pending_bits_in_no_bar, setup_pba_outside,
						teardown_pba_outside),
		cmocka_unit_test_setup_teardown(bars_on_top_of_each_other, setup_two_traps,
						teardown_two_traps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
