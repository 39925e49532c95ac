/* A guest uses the configuration space and the MSI-X table of its device in every possible way.
 * Whatever it writes, the real device keeps its BARs, sends messages in remappable format only, and
 * is bus master only while that is allowed.
 *
 * sources: $(VPCI_SRCS)
 */
#include <tests/unit/vpci_machine.h>

#include <drivers/pcipresence.h>
#include <kernel/core/log.h>
#include <kernel/guest/devices/pci/rescan.h>
#include <kernel/guest/devices/pci/vwindow.h>

static void what_is_there(void **state)
{
	(void)state;
	assert_int_equal(cfg_read(0, 0, 4), 0x29c08086);
	assert_int_equal(cfg_read(3, 0, 4), 0x10d38086);
	assert_int_equal(cfg_read(3, 2, 2), 0x10d3);
	assert_int_equal(cfg_read(3, 1, 1), 0x80);
	assert_int_equal(cfg_read(4, 0, 4), 0xffffffff);
	for (u32 slot = 4; slot < 32; slot++)
		assert_int_equal(cfg_read(slot, 0, 4), 0xffffffff);
	out(0xcf8, 4, 0x80010000 | 3 << 11); /* bus 1 */
	assert_int_equal(in(0xcfc, 4), 0xffffffff);
	out(0xcf8, 4, 0x80000000 | 3 << 11 | 1 << 8); /* function 1 */
	assert_int_equal(in(0xcfc, 4), 0xffffffff);
	out(0xcf8, 4, 3 << 11); /* not enabled */
	assert_int_equal(in(0xcfc, 4), 0xffffffff);
	assert_int_equal(in(0xcf8, 2), 0xffff);
}

static void capabilities_are_filtered(void **state)
{
	u32 seen = 0, at = cfg_read(3, 0x34, 1);

	(void)state;
	for (int n = 0; at; n++) {
		assert_true(n < 8);
		u32 id = cfg_read(3, at, 1);

		assert_true(id == 1 || id == 5 || id == 9 || id == 0x10 || id == 0x11);
		seen |= BIT(id);
		at = cfg_read(3, at + 1, 1);
	}
	assert_int_equal(seen, BIT(1) | BIT(5) | BIT(9) | BIT(0x10) | BIT(0x11));
	/* No function-level reset is offered. */
	assert_int_equal(cfg_read(3, CAP_PCIE_AT + 4, 4) & BIT(28), 0);
}

static void vendor_capability_is_read_only(void **state)
{
	(void)state;
	for (u32 i = 1; i < CAP_VENDOR_LENGTH / 4; i++) {
		cfg_write(3, CAP_VENDOR_AT + 4 * i, 4, 0xffffffff);
		assert_int_equal(cfg_read(3, CAP_VENDOR_AT + 4 * i, 4), VENDOR_WORD(i));
	}
	/* Accesses beyond the end of the configuration space are not forwarded. */
	assert_int_equal(cfg_read(3, CAP_VENDOR_AT + CAP_VENDOR_LENGTH, 4), 0);
	check_device();
}

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

static void msix_is_delivered(void **state)
{
	u64 table = cfg_read(3, 0x1c, 4);

	(void)state;
	cfg_write(3, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_BUS_MASTER);
	cfg_write(3, CAP_MSIX_AT + 2, 2, 0x8000);
	mem_write(table + 16, 4, 0xfee01000); /* vCPU 1 */
	mem_write(table + 24, 4, 0x41);
	assert_int_equal(irqs, 0);
	mem_write(table + 28, 4, 0);
	assert_int_equal(irqs, 1);
	check_device();
	assert_int_equal(bar3[16 + 12], 0);
	irq_handler[0x30](irq_arg[0x30]);
	assert_int_equal(delivered_vcpu, 1);
	assert_int_equal(delivered_vector, 0x41);

	/* Redirected to another CPU with the same vector. */
	mem_write(table + 16, 8, 0xfee00000);
	mem_write(table + 24, 4, 0x52);
	irq_handler[0x30](irq_arg[0x30]);
	assert_int_equal(delivered_vcpu, 0);
	assert_int_equal(delivered_vector, 0x52);
	assert_int_equal(irqs, 1);

	/* Sent to a vCPU that does not exist, or not an interrupt message at all: nothing
	 * arrives. */
	delivered_vector = -1;
	mem_write(table + 16, 4, 0xfee07000);
	irq_handler[0x30](irq_arg[0x30]);
	mem_write(table + 16, 4, 0x12345000);
	irq_handler[0x30](irq_arg[0x30]);
	assert_int_equal(delivered_vector, -1);
	assert_int_equal(bar3[16 + 12], 1);
	check_device();
}

/* A message is on its way while the guest masks the vector, changes it and unmasks it: it is kept
 * as a pending bit, and delivered once, to the new vector. */
static void what_arrives_while_masked_is_kept(void **state)
{
	u64 table = cfg_read(3, 0x1c, 4), pending = table + 0x2000;

	(void)state;
	cfg_write(3, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_BUS_MASTER);
	cfg_write(3, CAP_MSIX_AT + 2, 2, 0x8000);
	for (u32 i = 1; i < 3; i++) {
		mem_write(table + 16 * i, 4, 0xfee00000);
		mem_write(table + 16 * i + 8, 4, 0x40 + i);
		mem_write(table + 16 * i + 12, 4, 0);
	}
	deliveries = 0;
	mem_write(table + 28, 4, 1);
	assert_int_equal(mem_read(pending, 8), 0);
	for (int i = 0; i < 3; i++)
		irq_handler[0x30](irq_arg[0x30]);
	assert_int_equal(deliveries, 0);
	bar3[0x2000] = 0x10; /* the device's own bit of another vector */
	assert_int_equal(mem_read(pending, 8), 0x12);
	assert_int_equal(mem_read(pending, 1), 0x12);
	assert_int_equal(mem_read(pending + 4, 4), 0);
	mem_write(table + 16, 8, 0xfee01000);
	mem_write(table + 24, 4, 0x51);
	assert_int_equal(deliveries, 0);
	mem_write(table + 28, 4, 0);
	assert_int_equal(deliveries, 1);
	assert_int_equal(delivered_vcpu, 1);
	assert_int_equal(delivered_vector, 0x51);
	assert_int_equal(mem_read(pending, 1), 0x10);
	mem_write(table + 28, 4, 1);
	mem_write(table + 28, 4, 0);
	assert_int_equal(deliveries, 1);

	/* The same with the mask of the whole function. */
	cfg_write(3, CAP_MSIX_AT + 2, 2, 0xc000);
	irq_handler[0x31](irq_arg[0x31]);
	assert_int_equal(deliveries, 1);
	assert_int_equal(mem_read(pending, 1), 0x14);
	cfg_write(3, CAP_MSIX_AT + 2, 2, 0x8000);
	assert_int_equal(deliveries, 2);
	assert_int_equal(delivered_vector, 0x42);

	/* What is switched off keeps nothing. */
	mem_write(table + 28, 4, 1);
	irq_handler[0x30](irq_arg[0x30]);
	cfg_write(3, CAP_MSIX_AT + 2, 2, 0);
	irq_handler[0x31](irq_arg[0x31]);
	cfg_write(3, CAP_MSIX_AT + 2, 2, 0x4000);
	irq_handler[0x31](irq_arg[0x31]);
	assert_int_equal(mem_read(pending, 1), 0x10);
	cfg_write(3, CAP_MSIX_AT + 2, 2, 0x8000);
	mem_write(table + 28, 4, 0);
	assert_int_equal(deliveries, 2);
	check_device();
}

static void msi_is_delivered(void **state)
{
	(void)state;
	cfg_write(3, CAP_MSI_AT + 4, 4, 0xfee00000);
	cfg_write(3, CAP_MSI_AT + 12, 2, 0x61);
	cfg_write(3, CAP_MSI_AT + 2, 2, 1);
	assert_int_equal(config[CAP_MSI_AT + 2] & 1, 1);
	check_device();
	irq_handler[0x30](irq_arg[0x30]);
	assert_int_equal(delivered_vector, 0x61);
	cfg_write(3, CAP_MSI_AT + 2, 2, 0);
	assert_int_equal(config[CAP_MSI_AT + 2] & 1, 0);
}

/* The guest moves MSI to another vCPU, by a write to each register as Linux does: the device is not
 * touched, since each moment in which MSI is off loses interrupts. */
static void msi_is_moved(void **state)
{
	(void)state;
	cfg_write(3, CAP_MSI_AT + 4, 4, 0xfee00000);
	cfg_write(3, CAP_MSI_AT + 12, 2, 0x61);
	cfg_write(3, CAP_MSI_AT + 2, 2, 1);
	msi_writes = 0;
	cfg_write(3, CAP_MSI_AT + 4, 4, 0xfee01000);
	cfg_write(3, CAP_MSI_AT + 8, 4, 0);
	cfg_write(3, CAP_MSI_AT + 12, 2, 0x62);
	cfg_write(3, CAP_MSI_AT + 2, 2, 1);
	assert_int_equal(msi_writes, 0);
	irq_handler[0x30](irq_arg[0x30]);
	assert_int_equal(delivered_vcpu, 1);
	assert_int_equal(delivered_vector, 0x62);
	/* Something else has changed the device's message: it is written again. */
	put32(CAP_MSI_AT + 4, 0xfee00000);
	cfg_write(3, CAP_MSI_AT + 2, 2, 1);
	check_device();
	/* Switched off once. */
	msi_writes = 0;
	cfg_write(3, CAP_MSI_AT + 2, 2, 0);
	cfg_write(3, CAP_MSI_AT + 2, 2, 0);
	assert_int_equal(msi_writes, 1);
}

/* Sends interrupts of one vector in succession; returns how many arrived. */
static int interrupts(u32 which, int nr)
{
	int arrived = 0;

	for (; nr; nr--) {
		delivered_vector = -1;
		irq_handler[0x30 + which](irq_arg[0x30 + which]);
		arrived += delivered_vector >= 0;
	}
	return arrived;
}

static int setup_short_msi(void **state)
{
	msi_at = CAP_PCIE_AT - 12;
	msi_control = 0;
	return setup(state);
}

static int setup_msi_with_masks(void **state)
{
	msi_at = CAP_VENDOR_AT - 24;
	msi_control = PCI_MSI_64 | PCI_MSI_MASKS;
	return setup(state);
}

static int setup_short_msi_with_masks(void **state)
{
	msi_at = CAP_VENDOR_AT - 20;
	msi_control = PCI_MSI_MASKS;
	return setup(state);
}

static int teardown_msi(void **state)
{
	int ret = teardown(state);

	msi_at = CAP_MSI_AT;
	msi_control = PCI_MSI_64;
	return ret;
}

/* A capability for 32-bit addresses has 10 bytes, and the next one follows: the guest's data must
 * not land there. */
static void msi_is_as_long_as_the_devices(void **state)
{
	u32 next = get32(CAP_PCIE_AT);

	(void)state;
	assert_int_equal(cfg_read(3, msi_at + 2, 2), 0);
	assert_int_equal(cfg_read(3, msi_at + 1, 1), CAP_PCIE_AT);
	cfg_write(3, msi_at + 4, 4, 0xfee01000);
	cfg_write(3, msi_at + 8, 2, 0x61);
	cfg_write(3, msi_at + 2, 2, 1);
	assert_int_equal(cfg_read(3, msi_at + 4, 4), 0xfee01000);
	assert_int_equal(cfg_read(3, msi_at + 8, 4), 0x61);
	assert_int_equal(config[msi_at + 2] & 1, 1);
	assert_int_equal(get32(CAP_PCIE_AT), next);
	irq_handler[0x30](irq_arg[0x30]);
	assert_int_equal(delivered_vcpu, 1);
	assert_int_equal(delivered_vector, 0x61);
	check_device();
}

/* The device's own mask bit is what the guest's write to it ends in: so MSI stays on, and the
 * device keeps what it may not send. What was on its way is Weir's to keep. */
static void msi_can_be_masked(void **state)
{
	u32 data = msi_control & (u32)PCI_MSI_64 ? 12 : 8, mask = data + 4, pending = data + 8;
	u32 next = get32(CAP_VENDOR_AT);

	(void)state;
	assert_int_equal(cfg_read(3, msi_at + 2, 2), msi_control);
	cfg_write(3, msi_at + mask, 4, 0xffffffff);
	assert_int_equal(cfg_read(3, msi_at + mask, 4), 1); /* there is one vector */
	cfg_write(3, msi_at + 4, 4, 0xfee00000);
	cfg_write(3, msi_at + data, 2, 0x61);
	cfg_write(3, msi_at + 2, 2, 1);
	assert_int_equal(config[msi_at + 2] & 1, 1);
	assert_int_equal(get32(msi_at + mask), 1);
	put32(msi_at + pending, 1);
	assert_int_equal(cfg_read(3, msi_at + pending, 4), 1);
	put32(msi_at + pending, 0);
	assert_int_equal(cfg_read(3, msi_at + pending, 4), 0);
	deliveries = 0;
	irq_handler[0x30](irq_arg[0x30]);
	assert_int_equal(deliveries, 0);
	assert_int_equal(cfg_read(3, msi_at + pending, 4), 1);
	cfg_write(3, msi_at + data, 2, 0x62);
	cfg_write(3, msi_at + mask, 4, 0);
	assert_int_equal(get32(msi_at + mask), 0);
	assert_int_equal(deliveries, 1);
	assert_int_equal(delivered_vector, 0x62);
	assert_int_equal(cfg_read(3, msi_at + pending, 4), 0);
	assert_int_equal(get32(CAP_VENDOR_AT), next);
	check_device();

	/* A pause masks it too, and does not make up an interrupt. */
	irqstorm_set_limit(100);
	now_ns += 10000000;
	assert_int_equal(interrupts(0, 1), 1);
	assert_int_equal(interrupts(0, 1), 0);
	assert_int_equal(get32(msi_at + mask), 1);
	assert_int_equal(config[msi_at + 2] & 1, 1);
	assert_int_equal(cfg_read(3, msi_at + mask, 4), 0);
	deliveries = 0;
	fire();
	assert_int_equal(deliveries, 1);
	assert_int_equal(get32(msi_at + mask), 0);
	irqstorm_set_limit(0);
}

static bool msix_can_send(void)
{
	return (config[CAP_MSIX_AT + 3] & 0xc0) == 0x80;
}

/* A device floods two of its vectors with interrupts, to keep their CPU busy. All its interrupts
 * are masked until the window is over, and the guest cannot unmask them earlier. */
static void a_storm_is_paused(void **state)
{
	u64 table = cfg_read(3, 0x1c, 4);

	(void)state;
	irqstorm_set_limit(1000); /* 10 in a window */
	cfg_write(3, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_BUS_MASTER);
	cfg_write(3, CAP_MSIX_AT + 2, 2, 0x8000);
	for (u32 i = 0; i < 2; i++) {
		mem_write(table + 16 * i, 4, 0xfee00000);
		mem_write(table + 16 * i + 8, 4, 0x41 + i);
		mem_write(table + 16 * i + 12, 4, 0);
	}
	/* As many as the limit allows, in each window: no pause. */
	events = 0;
	for (int window = 0; window < 3; window++) {
		now_ns += 10000000;
		assert_int_equal(interrupts(0, 5) + interrupts(1, 5), 10);
		assert_true(msix_can_send());
	}
	assert_int_equal(events, 0);
	assert_true(irte_open[0] && irte_open[1]);
	/* One more than the limit. It waits until the pause is over. */
	assert_int_equal(interrupts(1, 1), 0);
	assert_false(msix_can_send());
	assert_false(irte_open[0] || irte_open[1]);
	assert_int_equal(nr_timers, 1);
	assert_int_equal(events, WEIR_EVENT_STORM);
	assert_int_equal(dom.interrupt_pauses, 1);
	/* So do interrupts already in flight, which do not start a second pause. */
	assert_int_equal(interrupts(0, 3), 0);
	assert_int_equal(dom.interrupt_pauses, 1);
	assert_int_equal(mem_read(table + 0x2000, 4), 3);
	/* The guest changes masks meanwhile, and reads back what it wrote. */
	cfg_write(3, CAP_MSIX_AT + 2, 2, 0);
	cfg_write(3, CAP_MSIX_AT + 2, 2, 0xc000);
	cfg_write(3, CAP_MSIX_AT + 2, 2, 0x8000);
	assert_int_equal(interrupts(1, 1), 0);
	mem_write(table + 12, 4, 1);
	mem_write(table + 12, 4, 0);
	assert_int_equal(cfg_read(3, CAP_MSIX_AT + 2, 2) & 0xc000, 0x8000);
	assert_false(msix_can_send());
	assert_false(irte_open[0] || irte_open[1]);
	check_device();
	/* The window is over. The guest has switched MSI-X off meanwhile, and so has lost what
	 * vector 0 kept. */
	deliveries = 0;
	now_ns += 10000000;
	fire();
	assert_int_equal(deliveries, 1);
	assert_int_equal(delivered_vector, 0x42);
	assert_true(msix_can_send());
	assert_true(irte_open[0] && irte_open[1]);
	assert_int_equal(interrupts(0, 10), 10);
	assert_true(msix_can_send());
	/* A vector that the guest masked stays masked. */
	assert_int_equal(interrupts(0, 1), 0);
	cfg_write(3, CAP_MSIX_AT + 2, 2, 0xc000);
	fire();
	assert_false(msix_can_send());
	/* Without a limit, interrupts are not counted. */
	irqstorm_set_limit(0);
	cfg_write(3, CAP_MSIX_AT + 2, 2, 0x8000);
	assert_int_equal(interrupts(0, 100), 100);
	assert_int_equal(dom.interrupt_pauses, 2);
}

/* The guest has masked the vector that floods, and the device forges its message by DMA: this costs
 * the CPU as much. In the pause its unit does not accept the message any more. */
static void a_storm_of_a_masked_vector_is_paused(void **state)
{
	u64 table = cfg_read(3, 0x1c, 4);

	(void)state;
	irqstorm_set_limit(1000);
	cfg_write(3, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_BUS_MASTER);
	cfg_write(3, CAP_MSIX_AT + 2, 2, 0x8000);
	mem_write(table, 4, 0xfee00000);
	mem_write(table + 8, 4, 0x41);
	mem_write(table + 12, 4, 0);
	mem_write(table + 12, 4, 1);
	now_ns += 10000000;
	assert_int_equal(interrupts(0, 10), 0);
	assert_true(irte_open[0]);
	assert_int_equal(interrupts(0, 1), 0);
	assert_false(irte_open[0]);
	assert_int_equal(dom.interrupt_pauses, 1);
	now_ns += 10000000;
	fire();
	assert_true(irte_open[0]);
	/* The same when the guest has switched all of them off. */
	cfg_write(3, CAP_MSIX_AT + 2, 2, 0);
	assert_int_equal(interrupts(0, 11), 0);
	assert_false(irte_open[0]);
	deliveries = 0;
	now_ns += 10000000;
	fire();
	assert_int_equal(deliveries, 0);
	irqstorm_set_limit(0);
}

/* The same with MSI, which this device cannot mask: MSI is switched off during the pause, and one
 * interrupt is delivered afterwards for those that were lost. */
static void a_storm_of_msi_is_paused(void **state)
{
	(void)state;
	irqstorm_set_limit(100);
	cfg_write(3, CAP_MSI_AT + 4, 4, 0xfee00000);
	cfg_write(3, CAP_MSI_AT + 12, 2, 0x61);
	cfg_write(3, CAP_MSI_AT + 2, 2, 1);
	now_ns += 10000000;
	assert_int_equal(interrupts(0, 2), 1);
	assert_int_equal(config[CAP_MSI_AT + 2] & 1, 0);
	assert_false(irte_open[0]);
	cfg_write(3, CAP_MSI_AT + 2, 2, 0);
	cfg_write(3, CAP_MSI_AT + 2, 2, 1);
	cfg_write(3, CAP_MSI_AT + 12, 2, 0x62);
	assert_int_equal(cfg_read(3, CAP_MSI_AT + 2, 2) & 1, 1);
	assert_int_equal(config[CAP_MSI_AT + 2] & 1, 0);
	delivered_vector = -1;
	now_ns += 10000000;
	fire();
	assert_int_equal(delivered_vector, 0x62);
	assert_int_equal(config[CAP_MSI_AT + 2] & 1, 1);
	check_device();
	/* The guest switched MSI off meanwhile: it stays off, and no interrupt is delivered. */
	assert_int_equal(interrupts(0, 2), 1);
	cfg_write(3, CAP_MSI_AT + 2, 2, 0);
	delivered_vector = -1;
	fire();
	assert_int_equal(delivered_vector, -1);
	assert_int_equal(config[CAP_MSI_AT + 2] & 1, 0);
}

/* The device is taken away during a pause: its record, which contains the timer, is kept until the
 * timer has fired. */
static void taken_while_it_is_paused(void **state)
{
	(void)state;
	irqstorm_set_limit(100);
	cfg_write(3, CAP_MSI_AT + 4, 4, 0xfee00000);
	cfg_write(3, CAP_MSI_AT + 12, 2, 0x61);
	cfg_write(3, CAP_MSI_AT + 2, 2, 1);
	now_ns += 10000000;
	assert_int_equal(interrupts(0, 2), 1);
	assert_int_equal(assign_take(&device), 0);
	fire_one();
	assert_int_equal(device.state, PCI_DETACHING);
	delivered_vector = -1;
	fire_one();
	assert_int_equal(config[CAP_MSI_AT + 2] & 1, 0);
	assert_int_equal(delivered_vector, -1);
	check_free();
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

/* Random accesses of every width at every offset, and at every edge of the MSI-X table. */
static void random_accesses(void **state)
{
	static const unsigned int sizes[] = { 1, 2, 4, 8 };
	unsigned int seed = getenv("SEED") ? (unsigned int)atoi(getenv("SEED")) : 4711;

	(void)state;
	print_message("seed %u\n", seed);
	srand(seed);
	for (int i = 0; i < 200000; i++) {
		unsigned int size = sizes[rand() % 3];
		u32 offset = (u32)(rand() % 256) & ~(size - 1),
		    value = (u32)rand() << 16 ^ (u32)rand();

		switch (rand() % 8) {
		case 0:
			out((u16)(0xcf8 + rand() % 8), size, value);
			break;
		case 1:
			in((u16)(0xcf8 + rand() % 8), size);
			break;
		case 2:
			cfg_read(3, offset, size);
			break;
		case 3:
			value = 0xfee00000 | (value & 0xff00f);
			/* fall through */
		case 4:
			cfg_write(3, offset, size, value);
			break;
		case 5:
			cfg_write(3, PCI_COMMAND, 2, value & 0xffff);
			cfg_write(3, 0x1c, 4, 0xe0000000 + (value & 0x1fffc000));
			break;
		case 6:
			mem_write((cfg_read(3, 0x1c, 4) & ~0xfu) + (u32)(rand() % 0x3000),
				  sizes[rand() % 4],
				  rand() % 2 ? value : 0xfee00000 | (value & 0xff0ff));
			break;
		case 7:
			mem_read((cfg_read(3, 0x1c, 4) & ~0xfu) + (u32)(rand() % 0x3000),
				 sizes[rand() % 4]);
			break;
		}
		check_device();
	}
}

/* A virtual function's own id register reads all ones; the guest sees the real id. */
static void a_virtual_function_has_an_id(void **state)
{
	(void)state;
	put32(0x00, 0xffffffff);
	device.physical = &device;
	assert_int_equal(cfg_read(3, 0, 4), 0x10d38086);
}

static void refused(u32 flags, const char *word)
{
	char buf[160];
	const char *why = assignable_why_not(&dom, &device, flags, buf, sizeof(buf));

	assert_non_null(why);
	if (!strstr(why, word))
		fail_msg("\"%s\" does not say \"%s\"", why, word);
}

static void refusals(void **state)
{
	(void)state;
	refused(0, "already belongs to domain net0");
	assert_non_null(assignable_why_never(NULL, false));
	device.owner = 0;
	refused(IOMMU_ATS, "no ATS capability");
	device.class = 0x0604;
	refused(0, "name the device behind it");
	device.class = 0x0601;
	refused(0, "host or ISA bridge");
	device.class = 0x0680; /* a bridge to something else is an endpoint of PCI */
	assert_null(assignable_why_never(&device, false));
	device.class = 0x0200;
	device.bars_ok = false;
	refused(0, "BARs");
	device.bars_ok = true;
	over_a_unit = true;
	refused(0, "remapping unit");
	over_a_unit = false;
	device.shared_id = true;
	refused(0, "PCI Express slot");
	device.shared_id = false;
	device.nr_virtual = 2;
	refused(0, "only the control domain");
	dom.privileged = true;
	device.owner = 0;
	assert_null(assignable_why_not(&dom, &device, 0, NULL, 0));
	device.nr_virtual = 0;
	dom.privileged = false;
	device.msi = device.msix = 0;
	refused(0, "MSI");
	device.msi = CAP_MSI_AT;
	device.msix = CAP_MSIX_AT;
	device.owner = dom.id;
}

/* --- while the domain runs ------------------------------------------------ */

static void take(void)
{
	assert_int_equal(assign_take(&device), 0);
	fire();
	check_free();
}

/* A hot reset has two phases; the device is attached, or free, after the second. */
static void reset_in_two_halves(void **state)
{
	(void)state;
	two_halves = true;
	assert_int_equal(assign_take(&device), 0);
	fire();
	assert_int_equal(device.state, PCI_DETACHING);
	fire();
	check_free();
	assert_int_equal(assign_start(&dom, &device, 0), 0);
	fire();
	assert_int_equal(device.state, PCI_ATTACHING);
	assert_false(attached);
	fire();
	assert_int_equal(device.state, PCI_ATTACHED);
	assert_int_equal(halves, 0);
	two_halves = false;
}

/* A device that needs five seconds after its reset is attached then. Meanwhile its domain starts:
 * it does not count as one that the domain waits for. */
static void slow_after_its_reset(void **state)
{
	u32 rounds = 0;

	(void)state;
	take();
	answers_after_ms = 5000;
	assert_int_equal(assign_start(&dom, &device, 0), 0);
	assert_int_equal(vpci_settle(&dom), 1);
	assert_int_equal(device.state, PCI_ATTACHING);
	assert_true(silent_ms >= PCI_RESET_SLOW_MS && silent_ms < 2 * PCI_RESET_SLOW_MS);
	while (device.state == PCI_ATTACHING) {
		assert_false(attached);
		fire();
		assert_true(++rounds < 100);
	}
	assert_int_equal(device.state, PCI_ATTACHED);
	assert_int_equal(cfg_read(3, 0, 4), 0x10d38086);
	answers_after_ms = 0;
}

/* One that never answers again stays with nobody, whoever had it or wants it. */
static void lost_after_its_reset(void **state)
{
	char why[160];

	(void)state;
	answers_after_ms = ~0u;
	assert_int_equal(assign_take(&device), 0);
	while (device.state == PCI_DETACHING)
		fire();
	check_free();
	(void)pci_look(&device);
	assert_non_null(
		strstr(assignable_why_not(&dom, &device, 0, why, sizeof(why)), "does not answer"));
	/* It answers once more, but not after the next reset. */
	silent_ms = 0;
	reset_is_lost = false;
	put32(0, 0x10d38086);
	(void)pci_look(&device);
	assert_null(assignable_why_not(&dom, &device, 0, why, sizeof(why)));
	assert_int_equal(assign_start(&dom, &device, 0), 0);
	while (device.state == PCI_ATTACHING)
		fire();
	check_free();
	silent_ms = answers_after_ms = 0;
	reset_is_lost = false;
}

static u32 presence_lines;

void log_print(enum log_level level, const char *fmt, ...)
{
	(void)level;
	presence_lines += !strncmp(fmt, "pci: ", 5);
}

static void rescan(void)
{
	u32 position = 0, steps = 0;
	int ret;

	while ((ret = rescan_step(&position)) > 0)
		assert_true(++steps < 1000);
	assert_int_equal(ret, 0);
}

/* The device is pulled out while a guest has it: one line says so, it is not touched any more, and
 * nobody gets it before it is there again. */
static void pulled_out(void **state)
{
	u8 before[256];
	char why[160];

	(void)state;
	memcpy(before, config, sizeof(before));
	presence_lines = 0;
	memset(config, 0xff, sizeof(config));
	assert_int_equal(cfg_read(3, 0, 4), 0xffffffff);
	assert_int_equal(cfg_read(3, 0, 4), 0xffffffff);
	assert_int_equal(pci_seen(&device), PCI_GONE);
	assert_int_equal(presence_lines, 1);
	assert_int_equal(assign_take(&device), 0);
	assert_int_equal(halves, 0);
	fire();
	check_free();
	assert_non_null(strstr(assignable_why_not(&dom, &device, 0, why, sizeof(why)), "is gone"));
	/* Whoever does not ask gets it all the same, but not for long. */
	assert_int_equal(assign_start(&dom, &device, 0), 0);
	while (work_run())
		;
	check_free();
	rescan();
	assert_int_equal(presence_lines, 1);
	/* It comes back. */
	memcpy(config, before, sizeof(before));
	rescan();
	assert_int_equal(presence_lines, 2);
	assert_null(assignable_why_not(&dom, &device, 0, why, sizeof(why)));
	assert_int_equal(assign_start(&dom, &device, 0), 0);
	fire();
	assert_int_equal(device.state, PCI_ATTACHED);
}

/* Another device is in the slot. While a domain has it, only its presence is looked at. */
static void exchanged(void **state)
{
	char why[160];

	(void)state;
	presence_lines = read_again = 0;
	put32(0, 0x43218086);
	rescan();
	rescan();
	assert_int_equal(presence_lines, 1);
	assert_int_equal(read_again, 0);
	take();
	assert_non_null(strstr(assignable_why_not(&dom, &device, 0, why, sizeof(why)), "another"));
	rescan();
	assert_int_equal(read_again, 1);
	assert_int_equal(device.device, 0x4321);
	rescan();
	assert_int_equal(read_again, 1);
	assert_null(assignable_why_not(&dom, &device, 0, why, sizeof(why)));
}

/* One like it, without addresses. If its BARs do not keep those of its predecessor, it stays with
 * nobody. (The reset of this test does not set them.) */
static void exchanged_for_one_like_it(void **state)
{
	char why[160];

	(void)state;
	take();
	presence_lines = 0;
	put32(0x10, 0);
	rescan();
	assert_int_equal(presence_lines, 1);
	assert_int_equal(pci_seen(&device), PCI_UNSET);
	assert_null(assignable_why_not(&dom, &device, 0, why, sizeof(why)));
	assert_int_equal(assign_start(&dom, &device, 0), 0);
	fire();
	check_free();
	assert_int_equal(assign_start(&dom, &device, 0), 0);
	put32(0x10, (u32)BAR0_BASE);
	fire();
	assert_int_equal(device.state, PCI_ATTACHED);
}

static void taken_and_given_back(void **state)
{
	u64 table = cfg_read(3, 0x1c, 4);

	(void)state;
	/* The device is in full use. */
	cfg_write(3, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_BUS_MASTER);
	cfg_write(3, CAP_MSIX_AT + 2, 2, 0x8000);
	mem_write(table, 4, 0xfee00000);
	mem_write(table + 8, 4, 0x41);
	mem_write(table + 12, 4, 0);
	assert_int_equal(irqs, 1);
	assert_true(direct_pages > 0);
	events = 0;

	assert_int_equal(assign_take(&device), 0);
	assert_int_equal(events, WEIR_EVENT_DEVICES);
	assert_int_equal(device.state, PCI_DETACHING);
	assert_int_equal(cfg_read(3, 0, 4), 0xffffffff);
	assert_false(config[PCI_COMMAND] & 4);
	assert_int_equal(direct_pages, 0);
	assert_int_equal(assign_take(&device), -EBUSY);
	assert_int_equal(assign_start(&dom, &device, 0), -EBUSY);
	/* A CPU may still have the registers mapped. */
	cpus_flushed = false;
	fire();
	assert_int_equal(device.state, PCI_DETACHING);
	cpus_flushed = true;
	fire();
	check_free();
	assert_int_equal(assign_take(&device), -EBUSY);

	events = 0;
	map_steps = 3;
	assert_int_equal(assign_start(&dom, &device, 0), 0);
	assert_int_equal(device.state, PCI_ATTACHING);
	assert_int_equal(device.owner, dom.id);
	assert_int_equal(assign_take(&device), -EBUSY);
	assert_int_equal(assign_start(&dom, &device, 0), -EBUSY);
	fire();
	/* No batch was available. */
	assert_int_equal(device.state, PCI_ATTACHING);
	assert_int_equal(cfg_read(3, 0, 4), 0xffffffff);
	fire();
	assert_int_equal(device.state, PCI_ATTACHED);
	assert_int_equal(events, WEIR_EVENT_DEVICES);
	assert_int_equal(cfg_read(3, 0, 4), 0x10d38086);
	/* Nothing that the guest had set up remains. */
	assert_int_equal(cfg_read(3, PCI_COMMAND, 2), 0);
	assert_int_equal(cfg_read(3, CAP_MSIX_AT + 2, 2) >> 15, 0);
}

/* The device is quarantined and its bus mastering is off: the guest cannot enable it again to
 * continue flooding Weir. */
static void quarantined_for_good(void **state)
{
	(void)state;
	cfg_write(3, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_BUS_MASTER);
	assert_true(config[PCI_COMMAND] & PCI_COMMAND_BUS_MASTER);
	quarantined = true;
	pci_set_bus_master(&device, false);
	for (int i = 0; i < 3; i++) {
		cfg_write(3, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
		cfg_write(3, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_BUS_MASTER);
		assert_false(config[PCI_COMMAND] & PCI_COMMAND_BUS_MASTER);
	}
	quarantined = false;
}

static void attaching_fails(void **state)
{
	(void)state;
	take();
	map_result = -ENOMEM;
	assert_int_equal(assign_start(&dom, &device, 0), 0);
	fire();
	check_free();
	map_result = 0;
	attach_result = -ENODEV;
	assert_int_equal(assign_start(&dom, &device, 0), 0);
	fire();
	check_free();
	attach_result = -EAGAIN;
	assert_int_equal(assign_start(&dom, &device, 0), 0);
	fire();
	assert_int_equal(device.state, PCI_ATTACHING);
	attach_result = 0;
	fire();
	assert_int_equal(device.state, PCI_ATTACHED);
}

/* The domain ends at each point of attaching; teardown() checks that nothing remains. */
static void domain_ends_meanwhile(void **state)
{
	for (u32 at = 0; at < 4; at++) {
		take();
		map_steps = at == 1 ? 2 : 0;
		attach_result = at == 2 ? -EAGAIN : 0;
		assert_int_equal(assign_start(&dom, &device, 0), 0);
		if (at)
			fire();
		assert_int_equal(device.state, at == 3 ? PCI_ATTACHED : PCI_ATTACHING);
		attach_result = 0;
		assert_int_equal(teardown(state), 0);
		assert_int_equal(setup(state), 0);
	}
	/* The device is taken away before the domain ends. */
	assert_int_equal(assign_take(&device), 0);
}

static void use(void)
{
	u64 table = cfg_read(3, 0x1c, 4);

	cfg_write(3, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_BUS_MASTER);
	cfg_write(3, CAP_MSIX_AT + 2, 2, 0x8000);
	mem_write(table, 4, 0xfee00000);
	mem_write(table + 8, 4, 0x41);
	mem_write(table + 12, 4, 0);
	assert_int_equal(irqs, 1);
	assert_true(direct_pages > 0);
}

static void check_as_new(void)
{
	assert_int_equal(device.state, PCI_ATTACHED);
	assert_int_equal(device.owner, dom.id);
	assert_true(attached);
	assert_int_equal(in(0xcf8, 4), 0);
	assert_int_equal(cfg_read(3, 0, 4), 0x10d38086);
	assert_int_equal(cfg_read(3, PCI_COMMAND, 2), 0);
	assert_int_equal(cfg_read(3, CAP_MSIX_AT + 2, 2) >> 14, 0);
	assert_int_equal(cfg_read(3, 0x3c, 4), 0);
	assert_int_equal(irqs, 0);
	use();
}

/* The domain restarts: no other domain can get the device meanwhile, and the guest finds it as at
 * its first start. */
static void started_again(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		use();
		cfg_write(3, 0x3c, 1, 11);
		assert_int_equal(vpci_suspend(&dom), STEP_WAIT);
		assert_false(config[PCI_COMMAND] & 4);
		assert_int_equal(device.state, PCI_DETACHING);
		fire();
		/* Reset, and still reserved for the domain. */
		assert_int_equal(vpci_suspend(&dom), STEP_DONE);
		assert_int_equal(device.state, PCI_ATTACHING);
		assert_int_equal(device.owner, dom.id);
		assert_false(attached);
		assert_int_equal(irqs + irtes + direct_pages + dom.vm.mmio.nr, 0);
		assert_int_equal(assign_take(&device), -EBUSY);
		assert_int_equal(assign_start(&dom, &device, 0), -EBUSY);
		fire();
		assert_int_equal(vpci_suspend(&dom), STEP_DONE);
		assert_false(attached);
		assert_int_equal(vpci_resume(&dom), STEP_WAIT);
		fire();
		assert_int_equal(vpci_resume(&dom), STEP_DONE);
		check_as_new();
	}
}

/* The domain restarts while a device is being attached or detached: attaching waits, detaching
 * completes. */
static void started_again_meanwhile(void **state)
{
	(void)state;
	take();
	assert_int_equal(assign_start(&dom, &device, 0), 0);
	assert_int_equal(vpci_suspend(&dom), STEP_WAIT);
	fire();
	assert_int_equal(vpci_suspend(&dom), STEP_DONE);
	assert_false(attached);
	assert_int_equal(vpci_resume(&dom), STEP_WAIT);
	fire();
	assert_int_equal(vpci_resume(&dom), STEP_DONE);
	check_as_new();

	assert_int_equal(assign_take(&device), 0);
	assert_int_equal(vpci_suspend(&dom), STEP_WAIT);
	fire();
	assert_int_equal(vpci_suspend(&dom), STEP_DONE);
	check_free();
	assert_int_equal(vpci_resume(&dom), STEP_DONE);
}

/* The domain ends instead; teardown() checks that nothing remains. */
static void ends_instead_of_starting_again(void **state)
{
	for (int at = 0; at < 3; at++) {
		use();
		assert_int_equal(vpci_suspend(&dom), STEP_WAIT);
		if (at)
			fire();
		if (at == 2)
			assert_int_equal(vpci_resume(&dom), STEP_WAIT);
		assert_int_equal(teardown(state), 0);
		assert_int_equal(setup(state), 0);
	}
}

/* It could not be attached again. */
static void does_not_come_back(void **state)
{
	(void)state;
	assert_int_equal(vpci_suspend(&dom), STEP_WAIT);
	fire();
	assert_int_equal(vpci_suspend(&dom), STEP_DONE);
	attach_result = -ENODEV;
	assert_int_equal(vpci_resume(&dom), STEP_WAIT);
	fire();
	assert_int_equal(vpci_resume(&dom), STEP_DONE);
	check_free();
	assert_int_equal(cfg_read(3, 0, 4), 0xffffffff);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_there, setup, teardown),
		cmocka_unit_test_setup_teardown(capabilities_are_filtered, setup, teardown),
		cmocka_unit_test_setup_teardown(vendor_capability_is_read_only, setup, teardown),
		cmocka_unit_test_setup_teardown(bars_are_sized_and_moved, setup, teardown),
		cmocka_unit_test_setup_teardown(the_window_is_used_again, setup, teardown),
		cmocka_unit_test_setup_teardown(large_bars, setup, teardown),
		cmocka_unit_test_setup_teardown(msix_is_delivered, setup, teardown),
		cmocka_unit_test_setup_teardown(what_arrives_while_masked_is_kept, setup, teardown),
		cmocka_unit_test_setup_teardown(msi_is_delivered, setup, teardown),
		cmocka_unit_test_setup_teardown(msi_is_moved, setup, teardown),
		cmocka_unit_test_setup_teardown(msi_is_as_long_as_the_devices, setup_short_msi,
						teardown_msi),
		cmocka_unit_test_setup_teardown(msi_can_be_masked, setup_msi_with_masks,
						teardown_msi),
		cmocka_unit_test_setup_teardown(msi_can_be_masked, setup_short_msi_with_masks,
						teardown_msi),
		cmocka_unit_test_setup_teardown(random_accesses, setup_short_msi_with_masks,
						teardown_msi),
		cmocka_unit_test_setup_teardown(pending_bits_in_no_bar, setup_pba_outside,
						teardown_pba_outside),
		cmocka_unit_test_setup_teardown(a_storm_is_paused, setup, teardown),
		cmocka_unit_test_setup_teardown(a_storm_of_a_masked_vector_is_paused, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_storm_of_msi_is_paused, setup, teardown),
		cmocka_unit_test_setup_teardown(taken_while_it_is_paused, setup, teardown),
		cmocka_unit_test_setup_teardown(bars_on_top_of_each_other, setup_two_traps,
						teardown_two_traps),
		cmocka_unit_test_setup_teardown(random_accesses, setup, teardown),
		cmocka_unit_test_setup_teardown(a_virtual_function_has_an_id, setup, teardown),
		cmocka_unit_test_setup_teardown(refusals, setup, teardown),
		cmocka_unit_test_setup_teardown(reset_in_two_halves, setup, teardown),
		cmocka_unit_test_setup_teardown(slow_after_its_reset, setup, teardown),
		cmocka_unit_test_setup_teardown(lost_after_its_reset, setup, teardown),
		cmocka_unit_test_setup_teardown(pulled_out, setup, teardown),
		cmocka_unit_test_setup_teardown(exchanged, setup, teardown),
		cmocka_unit_test_setup_teardown(exchanged_for_one_like_it, setup, teardown),
		cmocka_unit_test_setup_teardown(taken_and_given_back, setup, teardown),
		cmocka_unit_test_setup_teardown(quarantined_for_good, setup, teardown),
		cmocka_unit_test_setup_teardown(attaching_fails, setup, teardown),
		cmocka_unit_test_setup_teardown(domain_ends_meanwhile, setup, teardown),
		cmocka_unit_test_setup_teardown(started_again, setup, teardown),
		cmocka_unit_test_setup_teardown(started_again_meanwhile, setup, teardown),
		cmocka_unit_test_setup_teardown(ends_instead_of_starting_again, setup, teardown),
		cmocka_unit_test_setup_teardown(does_not_come_back, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
