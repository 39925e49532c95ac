/* Functions that are pulled out, exchanged or plugged in, seen from a domain and by a rescan.
 *
 * sources: $(VPCI_SRCS)
 */
#include <tests/unit/vpci_machine.h>

#include <drivers/pcipresence.h>
#include <kernel/guest/devices/pci/rescan.h>

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
	pci_lines = 0;
	memset(config, 0xff, sizeof(config));
	assert_int_equal(cfg_read(3, 0, 4), 0xffffffff);
	assert_int_equal(cfg_read(3, 0, 4), 0xffffffff);
	assert_int_equal(pci_seen(&device), PCI_GONE);
	assert_int_equal(pci_lines, 1);
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
	assert_int_equal(pci_lines, 1);
	/* It comes back. */
	memcpy(config, before, sizeof(before));
	rescan();
	assert_int_equal(pci_lines, 2);
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
	pci_lines = read_again = 0;
	put32(0, 0x43218086);
	rescan();
	rescan();
	assert_int_equal(pci_lines, 1);
	assert_int_equal(read_again, 0);
	take_device();
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
	take_device();
	pci_lines = 0;
	put32(0x10, 0);
	rescan();
	assert_int_equal(pci_lines, 1);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(pulled_out, setup, teardown),
		cmocka_unit_test_setup_teardown(exchanged, setup, teardown),
		cmocka_unit_test_setup_teardown(exchanged_for_one_like_it, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
