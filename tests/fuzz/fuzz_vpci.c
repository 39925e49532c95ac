/* A guest uses its device's configuration space, BARs and MSI-X table: the real BARs never move,
 * the device sends messages in remappable format only, only the device's own pages are ever mapped,
 * and nothing remains when the device is taken away.
 *
 * An input is a byte (1: the pending bits have a BAR of their own; 2: interrupts are limited to one
 * per window; 4: BARs are mapped three pages at a time), then operations of 8 bytes: operation,
 * size, address, value.
 *
 * sources: $(VPCI_SRCS)
 */
#include <tests/fuzz/fuzz.h>
#include <tests/unit/vpci_machine.h>

#define MAX_OPERATIONS 400

/* Only the BARs' own pages are mapped, at the BARs' current addresses. */
static void check_direct(void)
{
	static const struct {
		u32 at;
		u64 base, size;
	} bars[] = { { 0x10, BAR0_BASE, 0x20000 }, { 0x1c, BAR3_BASE, BAR3_SIZE } };
	u64 n = 0;

	for (size_t b = 0; b < ARRAY_SIZE(bars); b++) {
		u64 gpa = cfg_read(3, bars[b].at, 4) & ~0xfu;

		for (u64 at = 0; at < bars[b].size; at += PAGE_SIZE) {
			u64 i = ((gpa + at) >> 12) - WINDOW_FIRST;

			n += i < WINDOW_FRAMES && direct[i] == (bars[b].base + at) >> 12;
		}
	}
	assert_int_equal(n, direct_pages);
	if (!(cfg_read(3, PCI_COMMAND, 2) & PCI_COMMAND_MEMORY))
		assert_int_equal(direct_pages + dom.vm.mmio.nr, 0);
}

/* Delivers only vectors that the guest wrote into its table, and only to its own vCPUs. */
static void interrupt(u32 which)
{
	if (which >= (u32)irqs)
		return;
	delivered_vector = delivered_vcpu = -1;
	irq_handler[0x30 + which](irq_arg[0x30 + which]);
	if (delivered_vector >= 0) {
		assert_in_range(delivered_vector, 16, 255);
		assert_in_range(delivered_vcpu, 0, dom.vm.nr_vcpus - 1);
	}
}

/* The device sends nothing during a pause, and after it what the guest has set up. */
static void check_pause(void)
{
	const struct vfunction *f = device.function;
	bool msi = config[CAP_MSI_AT + 2] & 1, msix = (config[CAP_MSIX_AT + 3] & 0xc0) == 0x80;

	if (device.state != PCI_ATTACHED)
		return;
	assert_int_equal(nr_timers, f->storm.paused);
	if (f->storm.paused)
		assert_false(msi || msix);
	else
		assert_int_equal(msix, f->msix.enabled && !f->msix.masked);
}

static void take_and_give(void)
{
	if (device.state != PCI_ATTACHED)
		return;
	assert_int_equal(assign_take(&device), 0);
	fire();
	check_free();
	assert_int_equal(assign_start(&dom, &device, 0), 0);
	fire();
	assert_int_equal(device.state, PCI_ATTACHED);
	assert_int_equal(cfg_read(3, PCI_COMMAND, 2), 0);
}

static void start_again(void)
{
	if (device.state != PCI_ATTACHED)
		return;
	assert_int_equal(vpci_suspend(&dom), STEP_WAIT);
	fire();
	assert_int_equal(vpci_suspend(&dom), STEP_DONE);
	assert_false(attached);
	assert_int_equal(irqs, 0);
	assert_int_equal(direct_pages, 0);
	assert_int_equal(vpci_resume(&dom), STEP_WAIT);
	fire();
	assert_int_equal(vpci_resume(&dom), STEP_DONE);
	assert_int_equal(device.state, PCI_ATTACHED);
	assert_int_equal(cfg_read(3, PCI_COMMAND, 2), 0);
}

static void operation(u8 what, u8 size_code, u16 address, u32 value)
{
	unsigned int size = 1u << (size_code % 3), wide = 1u << (size_code % 4);
	u32 offset = (address & 0xff) & ~(size - 1);
	u64 table = cfg_read(3, 0x1c, 4) & ~0xfu;

	switch (what % 12) {
	case 0:
		out((u16)(0xcf8 + address % 8), size, value);
		break;
	case 1:
		in((u16)(0xcf8 + address % 8), size);
		break;
	case 2:
		cfg_read(address >> 8 & 31, offset, size);
		break;
	case 3: /* an interrupt message */
		cfg_write(3, offset, size, 0xfee00000 | (value & 0xff00f));
		break;
	case 4:
	case 5:
		cfg_write(3, offset, size, value);
		break;
	case 6:
		cfg_write(3, PCI_COMMAND, 2, value & 0xffff);
		/* A write that is begun and not repeated. */
		if (address & 2 && device.state == PCI_ATTACHED)
			(void)try_out(0xcfc, 2, value >> 16);
		cfg_write(3, address & 1 ? 0x1c : 0x10, 4, 0xe0000000 + (value & 0x1fffc000));
		break;
	case 7:
		mem_write(table + address % 0x3000, wide, value);
		break;
	case 8:
		mem_write(table + (address % (16 * MSIX_VECTORS)), wide,
			  0xfee00000 | (value & 0xff0ff));
		break;
	case 9:
		mem_read(table + address % 0x3000, wide);
		break;
	case 10:
		for (u32 i = 0; i < 1 + (value >> 3) % 4; i++)
			interrupt(value % 8);
		if (value & 32) {
			now_ns += 10000000;
			if (nr_timers)
				fire();
		}
		break;
	case 11:
		if (value % 8 == 0)
			take_and_give();
		else if (value % 8 == 1)
			start_again();
		break;
	}
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct input program = { data, data + size };
	u8 flags = (u8)take(&program, 1);
	void *no_state = NULL;

	pba_in_bar0 = flags & 1;
	page_cost = flags & 4 ? 100 : 1;
	assert_int_equal(setup(&no_state), 0);
	irqstorm_set_limit(flags & 2 ? 100 : 0);
	for (int n = 0; n < MAX_OPERATIONS && !at_end(&program); n++) {
		u8 what = (u8)take(&program, 1), size_code = (u8)take(&program, 1);
		u16 address = (u16)take(&program, 2);

		operation(what, size_code, address, (u32)take(&program, 4));
		check_device();
		check_pause();
		if (what % 12 == 6)
			check_direct();
	}
	check_direct();
	teardown(&no_state);
	return 0;
}
