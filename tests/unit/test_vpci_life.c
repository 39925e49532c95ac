/* A device's life with a domain: attached, taken away, given back; the domain restarts or ends.
 *
 * sources: $(VPCI_SRCS)
 */
#include <tests/unit/vpci_machine.h>

#include <drivers/pcipresence.h>

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
	u32 rounds = 0, n;

	(void)state;
	take_device();
	answers_after_ms = 5000;
	assert_int_equal(assign_start(&dom, &device, 0), 0);
	while (!vpci_settled(&dom, &n))
		fire();
	assert_int_equal(n, 1);
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

/* A device with large BARs is taken away: they are unmapped in bounded steps, and it is reset
 * afterwards. */
static void taken_with_large_bars(void **state)
{
	u32 steps = 0;

	(void)state;
	page_cost = 100;
	cfg_write(3, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_BUS_MASTER);
	assert_true(direct_pages > 30);
	visited = 0;
	assert_int_equal(assign_take(&device), 0);
	assert_int_equal(cfg_read(3, 0, 4), 0xffffffff);
	assert_false(config[PCI_COMMAND] & 4);
	for (; direct_pages; steps++) {
		assert_true(visited <= MEMORY_STEP_ENTRIES);
		assert_true(attached && !nr_timers);
		visited = 0;
		assert_true(work_run());
	}
	while (work_run())
		;
	assert_false(attached);
	assert_in_range(steps, 4, 14);
	page_cost = 1;
	fire();
	check_free();
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
	take_device();
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
		take_device();
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

	out(0xcf9, 1, 0x0a);
	cfg_write(3, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_BUS_MASTER);
	cfg_write(3, CAP_MSIX_AT + 2, 2, 0x8000);
	mem_write(table, 4, 0xfee00000);
	mem_write(table + 8, 4, 0x41);
	mem_write(table + 12, 4, 0);
	assert_int_equal(irqs, 1);
	assert_true(direct_pages > 0);
}

/* Only bit 2 of the byte at 0xcf9 resets, and no wider access is meant for it. */
static void reset_control(void **state)
{
	u32 before = reboots;

	(void)state;
	out(0xcf8, 4, 0x80000600);
	out(0xcf8, 2, 0x0600);
	assert_int_equal(reboots, before);
	out(0xcf9, 1, 0xfb);
	assert_int_equal(in(0xcf9, 1), 0x0a);
	assert_int_equal(in(0xcf8, 4), 0x80000600);
	assert_int_equal(reboots, before);
	out(0xcf9, 1, 0x06);
	assert_int_equal(in(0xcf9, 1), 0x02);
	assert_int_equal(reboots, before + 1);
}

static void check_as_new(void)
{
	assert_int_equal(device.state, PCI_ATTACHED);
	assert_int_equal(device.owner, dom.id);
	assert_true(attached);
	assert_int_equal(in(0xcf8, 4), 0);
	assert_int_equal(in(0xcf9, 1), 0);
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
		assert_int_equal(irqs + direct_pages + dom.vm.mmio.nr, 0);
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
	take_device();
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
		cmocka_unit_test_setup_teardown(reset_in_two_halves, setup, teardown),
		cmocka_unit_test_setup_teardown(slow_after_its_reset, setup, teardown),
		cmocka_unit_test_setup_teardown(lost_after_its_reset, setup, teardown),
		cmocka_unit_test_setup_teardown(taken_and_given_back, setup, teardown),
		cmocka_unit_test_setup_teardown(taken_with_large_bars, setup, teardown),
		cmocka_unit_test_setup_teardown(quarantined_for_good, setup, teardown),
		cmocka_unit_test_setup_teardown(attaching_fails, setup, teardown),
		cmocka_unit_test_setup_teardown(domain_ends_meanwhile, setup, teardown),
		cmocka_unit_test_setup_teardown(started_again, setup, teardown),
		cmocka_unit_test_setup_teardown(started_again_meanwhile, setup, teardown),
		cmocka_unit_test_setup_teardown(ends_instead_of_starting_again, setup, teardown),
		cmocka_unit_test_setup_teardown(reset_control, setup, teardown),
		cmocka_unit_test_setup_teardown(does_not_come_back, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
