/* A device's BARs on the virtual PCI bus: where they are, and what of them is trapped.
 *
 * sources: $(VPCI_SRCS)
 */
#include <tests/unit/vpci_machine.h>

#include <kernel/guest/devices/pci/vwindow.h>

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
		assert_int_equal(vwindow_place(here), 0);
		assert_true(here->bar[1].address == 0xf2000000 ||
			    here->bar[1].address == 0xf4000000);
		assert_int_equal(here->bar[1].address & 0x1ffffff, 0);
		assert_int_not_equal(here->bar[1].address, other->bar[1].place);
		here->bar[1].address = 0xfc000000; /* the guest moves it */
		p->slot[5 + i % 2] = here;
	}
	/* There is room for 256 MiB beside them, but only once. */
	big.bar[1].size = 256UL << 20;
	p->slot[5] = NULL;
	assert_int_equal(vwindow_place(&f[0]), 0);
	p->slot[5] = &f[0];
	p->slot[6] = NULL;
	assert_int_equal(vwindow_place(&f[1]), -ENOSPC);
	p->slot[5] = NULL;
	big.bar[1].size = 1UL << 40;
	assert_int_equal(vwindow_place(&f[0]), -ENOSPC);
	p->slot[5] = p->slot[6] = NULL;
	spin_unlock(&p->lock);
}

#define MIB(n) ((u64)(n) << 20)

/* Places BARs of these sizes in MiB, in this order: 'p' has 64 bits and is prefetchable, 'q' has 64
 * bits, '3' has 32. */
static int place_bars(struct vfunction *f, struct pci_device *d, const u32 mib[PCI_BARS],
		      const char *kind)
{
	memset(d->bar, 0, sizeof(d->bar));
	for (u32 i = 0; kind[i]; i++) {
		d->bar[i].size = MIB(mib[i]);
		d->bar[i].is64 = kind[i] != '3';
		d->bar[i].prefetchable = kind[i] == 'p';
	}
	*f = (struct vfunction){ .domain = &dom, .bus = dom.pci, .dev = d };
	return vwindow_place(f);
}

static void check_places(const struct vfunction *f, struct vwindow high)
{
	for (u32 i = 0; i < PCI_BARS; i++) {
		u64 at = f->bar[i].place, size = f->dev->bar[i].size;

		if (!size)
			continue;
		assert_int_equal(at % size, 0);
		assert_int_equal(f->bar[i].address, at);
		assert_true(vwindow_contains(f, at, size));
		assert_true(at + size <= VPCI_WINDOW_END ||
			    (f->dev->bar[i].is64 && at >= high.first && at + size <= high.end));
		for (u32 k = 0; k < i; k++)
			assert_true(!f->dev->bar[k].size || at + size <= f->bar[k].place ||
				    f->bar[k].place + f->dev->bar[k].size <= at);
	}
}

/* The BARs of graphics cards: whatever their order, they fit. */
static void large_bars(void **state)
{
	struct pci_device d = { 0 };
	struct vwindow high;
	struct vfunction f;

	(void)state;
	dom.vm.memory.pages_limit = (6UL << 30) >> PAGE_SHIFT;
	high = vwindow_above_ram(&dom);
	assert_int_equal(high.first, 7UL << 30);
	spin_lock(&dom.pci->lock);
	assert_int_equal(place_bars(&f, &d, (u32[PCI_BARS]){ 16, 256, 32, 0 }, "333"), 0);
	check_places(&f, high);
	/* The second half of a 64-bit BAR has no size. */
	assert_int_equal(place_bars(&f, &d, (u32[PCI_BARS]){ 16, 256, 0, 32, 0 }, "3p0p"), 0);
	check_places(&f, high);
	assert_true(f.bar[1].place >= high.first);
	assert_true(f.bar[0].place < VPCI_WINDOW_END && f.bar[3].place < VPCI_WINDOW_END);
	assert_int_equal(place_bars(&f, &d, (u32[PCI_BARS]){ 16384, 0, 256, 0, 32 }, "p0p03"), 0);
	check_places(&f, high);
	/* One that is not prefetchable goes up only for want of room, and one of 32 bits cannot. */
	assert_int_equal(place_bars(&f, &d, (u32[PCI_BARS]){ 256, 0, 256, 0, 64 }, "q0q03"), 0);
	check_places(&f, high);
	assert_true((f.bar[0].place < VPCI_WINDOW_END) != (f.bar[2].place < VPCI_WINDOW_END));
	assert_int_equal(place_bars(&f, &d, (u32[PCI_BARS]){ 256, 256 }, "33"), -ENOSPC);
	assert_int_equal(place_bars(&f, &d, (u32[PCI_BARS]){ 1u << 20 }, "p"), -ENOSPC);
	/* Neither the hole between the windows nor RAM is a place that a guest may choose. */
	assert_false(vwindow_contains(&f, VPCI_WINDOW_END - 4096, 8192));
	assert_false(vwindow_contains(&f, 0xfee00000, 4096));
	assert_false(vwindow_contains(&f, high.first - 4096, 8192));
	assert_false(vwindow_contains(&f, high.end - 4096, 8192));
	assert_true(vwindow_contains(&f, high.end - 4096, 4096));
	spin_unlock(&dom.pci->lock);
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

/* A BAR that takes many entries comes and goes in bounded steps: the guest's write is repeated, and
 * what it reads meanwhile is never another device's. */
static void large_bars_move_in_steps(void **state)
{
	u32 at0 = cfg_read(3, 0x10, 4), at3 = cfg_read(3, 0x1c, 4);

	(void)state;
	page_cost = 100; /* three pages a step */
	cfg_write(3, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	assert_in_range(times, 9, 12);
	assert_int_equal(direct_pages, 0x20 + 1);
	assert_int_equal(mem_read(at3 + 12, 4), 1);
	cfg_write(3, 0x10, 4, 0xe8000000);
	assert_in_range(times, 20, 24); /* out and in */
	assert_int_equal(direct_pages, 0x20 + 1);
	cfg_write(3, PCI_COMMAND, 2, 0);
	assert_in_range(times, 9, 12);
	assert_int_equal(direct_pages, 0);
	assert_int_equal(dom.vm.mmio.nr, 0);

	/* Another vCPU changes its mind in the middle. */
	cfg_write(3, 0x10, 4, at0);
	select_register(3, PCI_COMMAND);
	for (u32 i = 0; i < 4; i++)
		assert_true(try_out(0xcfc, 2, PCI_COMMAND_MEMORY));
	assert_in_range(direct_pages, 9, 12);
	assert_true(try_out(0xcfc, 2, 0));
	assert_true(direct_pages > 0);
	assert_true(try_out(0xcfc, 2, PCI_COMMAND_MEMORY));
	out(0xcfc, 2, PCI_COMMAND_MEMORY);
	assert_int_equal(direct_pages, 0x20 + 1);
	check_device();
	page_cost = 1;
}

/* Something is at the end of a large BAR's place: all of it goes out again, once. */
static void a_large_bar_that_does_not_fit(void **state)
{
	(void)state;
	page_cost = 100;
	cfg_write(3, 0x1c, 4, 0xe8018000);
	cfg_write(3, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	direct[0xe801f - WINDOW_FIRST] = 1;
	cfg_write(3, 0x1c, 4, 0xe9000000);
	assert_int_equal(direct_pages, 0x20 + 1);
	cfg_write(3, 0x10, 4, 0xe8000000);
	assert_int_equal(direct_pages, 1);
	assert_in_range(times, 25, 40);
	/* Each new write tries again. */
	direct[0xe801f - WINDOW_FIRST] = 0;
	cfg_write(3, 0x10, 4, 0xe8000000);
	assert_int_equal(direct_pages, 0x20 + 1);
	page_cost = 1;
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
		cmocka_unit_test_setup_teardown(large_bars, setup, teardown),
		cmocka_unit_test_setup_teardown(large_bars_move_in_steps, setup, teardown),
		cmocka_unit_test_setup_teardown(a_large_bar_that_does_not_fit, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_full_is_named, setup, teardown),
		cmocka_unit_test_setup_teardown(pending_bits_in_no_bar, setup_pba_outside,
						teardown_pba_outside),
		cmocka_unit_test_setup_teardown(bars_on_top_of_each_other, setup_two_traps,
						teardown_two_traps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
