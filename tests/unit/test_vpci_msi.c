/* A device's MSI on the virtual PCI bus: delivered, moved, masked, and paused in a storm.
 *
 * sources: $(VPCI_SRCS)
 */
#include <tests/unit/vpci_machine.h>

#include <kernel/x86/apic.h>

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
	assert_false(irtes_open);
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

/* MSI that the device cannot mask stays off until the remapping unit has answered. An interrupt may
 * be lost meanwhile: one is delivered in its place. */
static void msi_waits_for_the_unit(void **state)
{
	(void)state;
	unit_is_slow = true;
	cfg_write(3, CAP_MSI_AT + 4, 4, 0xfee00000);
	cfg_write(3, CAP_MSI_AT + 12, 2, 0x61);
	cfg_write(3, CAP_MSI_AT + 2, 2, 1);
	assert_int_equal(cfg_read(3, CAP_MSI_AT + 2, 2) & 1, 1);
	assert_int_equal(config[CAP_MSI_AT + 2] & 1, 0);
	deliveries = 0;
	unit_answers();
	assert_int_equal(config[CAP_MSI_AT + 2] & 1, 1);
	assert_int_equal(deliveries, 1);
	assert_int_equal(delivered_vector, 0x61);
	check_device();
	/* The same after a pause, which the guest's writes do not end. */
	irqstorm_set_limit(100);
	now_ns += 10000000;
	assert_int_equal(interrupts(0, 2), 1);
	unit_answers();
	fire();
	assert_int_equal(config[CAP_MSI_AT + 2] & 1, 0);
	cfg_write(3, CAP_MSI_AT + 2, 2, 1);
	assert_int_equal(config[CAP_MSI_AT + 2] & 1, 0);
	deliveries = 0;
	unit_answers();
	assert_int_equal(config[CAP_MSI_AT + 2] & 1, 1);
	assert_int_equal(deliveries, 1);
	check_device();
	irqstorm_set_limit(0);
}

/* The unit answers before the guest switches MSI on: nothing is made up. A device that can mask MSI
 * keeps what it may not send. */
static void msi_is_in_force_in_time(void **state)
{
	u32 data = msi_control & (u32)PCI_MSI_64 ? 12 : 8, mask = data + 4;

	(void)state;
	deliveries = 0;
	cfg_write(3, msi_at + 4, 4, 0xfee00000);
	cfg_write(3, msi_at + data, 2, 0x61);
	cfg_write(3, msi_at + 2, 2, 1);
	assert_int_equal(config[msi_at + 2] & 1, 1);
	assert_int_equal(deliveries, 0);
	if (!(msi_control & (u32)PCI_MSI_MASKS))
		return;
	assert_false(msi_is_masked());
	unit_is_slow = true;
	irqstorm_set_limit(100);
	now_ns += 10000000;
	assert_int_equal(interrupts(0, 2), 1);
	unit_answers();
	fire();
	assert_int_equal(config[msi_at + 2] & 1, 1);
	assert_true(msi_is_masked());
	assert_int_equal(cfg_read(3, msi_at + mask, 4), 0);
	deliveries = 0;
	unit_answers();
	assert_false(msi_is_masked());
	assert_int_equal(deliveries, 1); /* the second one, which was kept */
	check_device();
	irqstorm_set_limit(0);
}

/* --- destinations --------------------------------------------------------- */

#define LOGICAL 4u
#define ONE_OF_THEM 8u
#define LOWEST_PRIORITY 0x100u

static void send_to(u32 destination, u32 how, u32 data)
{
	cfg_write(3, CAP_MSI_AT + 4, 4, 0xfee00000 | destination << 12 | how);
	cfg_write(3, CAP_MSI_AT + 12, 2, data);
	cfg_write(3, CAP_MSI_AT + 2, 2, 1);
	delivered_to = 0;
	deliveries = 0;
}

/* The vCPUs that get the device's message. */
static u32 receivers(u32 destination, u32 how, u32 data)
{
	send_to(destination, how, data);
	if (irq_handler[0x30])
		irq_handler[0x30](irq_arg[0x30]);
	assert_int_equal(deliveries, __builtin_popcount(delivered_to));
	return delivered_to;
}

static void set_logical_ids(u32 format, u32 first, u32 second)
{
	const u32 id[] = { first, second };

	for (u32 i = 0; i < 2; i++) {
		vcpus[i].lapic.apic_base = APIC_BASE_ENABLE;
		vcpus[i].lapic.dfr = format;
		vcpus[i].lapic.ldr = id[i] << 24;
	}
}

static void msi_to_physical_ids(void **state)
{
	(void)state;
	assert_int_equal(receivers(0, 0, 0x61), 1);
	assert_int_equal(receivers(1, 0, 0x61), 2);
	assert_int_equal(receivers(1, 0, 0x61 | LOWEST_PRIORITY), 2);
	assert_int_equal(receivers(1, ONE_OF_THEM, 0x61), 2);
	assert_int_equal(receivers(2, 0, 0x61), 0);
	assert_int_equal(receivers(0xff, 0, 0x61), 3);
	assert_int_equal(receivers(0xff, 0, 0x61 | LOWEST_PRIORITY), 1);
	assert_int_equal(receivers(0xff, 0, 0x0f), 0);
	assert_int_equal(receivers(0xff, 0, 0x461), 0); /* an NMI */
}

/* Linux without x2APIC mode. The ids need not follow the physical ones. */
static void msi_to_logical_ids(void **state)
{
	(void)state;
	set_logical_ids(0xffffffff, 0x02, 0x40);
	assert_int_equal(receivers(0x02, LOGICAL, 0x61), 1);
	assert_int_equal(receivers(0x40, LOGICAL, 0x61), 2);
	assert_int_equal(receivers(0x01, LOGICAL, 0x61), 0);
	assert_int_equal(receivers(0x00, LOGICAL, 0x61), 0);
	assert_int_equal(receivers(0x42, LOGICAL, 0x61), 3);
	assert_int_equal(receivers(0x42, LOGICAL, 0x61 | LOWEST_PRIORITY), 1);
	assert_int_equal(receivers(0x42, LOGICAL | ONE_OF_THEM, 0x61), 1);
	assert_int_equal(receivers(0xc0, LOGICAL | ONE_OF_THEM, 0x61), 2);
	assert_int_equal(receivers(0xff, LOGICAL, 0x61), 3);
	/* Clusters. */
	set_logical_ids(0x0fffffff, 0x11, 0x21);
	assert_int_equal(receivers(0x11, LOGICAL, 0x61), 1);
	assert_int_equal(receivers(0x23, LOGICAL, 0x61), 2);
	assert_int_equal(receivers(0x22, LOGICAL, 0x61), 0);
	assert_int_equal(receivers(0xf1, LOGICAL, 0x61), 3);
	/* In x2APIC mode, those of cluster 0 that fit. */
	for (u32 i = 0; i < 2; i++)
		vcpus[i].lapic.apic_base = APIC_BASE_ENABLE | APIC_BASE_EXTD;
	assert_int_equal(receivers(0x02, LOGICAL, 0x61), 2);
	assert_int_equal(receivers(0x03, LOGICAL, 0x61), 3);
}

/* A destination that means no vCPU yet, and one whose meaning changes. */
static void logical_ids_are_set_later(void **state)
{
	(void)state;
	set_logical_ids(0xffffffff, 0, 0);
	assert_int_equal(receivers(0x01, LOGICAL, 0x61), 0);
	set_logical_ids(0xffffffff, 0, 0x01);
	irq_handler[0x30](irq_arg[0x30]);
	assert_int_equal(delivered_to, 2);
	set_logical_ids(0xffffffff, 0x01, 0);
	irq_handler[0x30](irq_arg[0x30]);
	assert_int_equal(delivered_to, 3);
	check_device();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(msi_is_delivered, setup, teardown),
		cmocka_unit_test_setup_teardown(msi_is_moved, setup, teardown),
		cmocka_unit_test_setup_teardown(msi_is_as_long_as_the_devices, setup_short_msi,
						teardown_msi),
		cmocka_unit_test_setup_teardown(msi_can_be_masked, setup_msi_with_masks,
						teardown_msi),
		cmocka_unit_test_setup_teardown(msi_can_be_masked, setup_short_msi_with_masks,
						teardown_msi),
		cmocka_unit_test_setup_teardown(a_storm_of_msi_is_paused, setup, teardown),
		cmocka_unit_test_setup_teardown(taken_while_it_is_paused, setup, teardown),
		cmocka_unit_test_setup_teardown(msi_waits_for_the_unit, setup, teardown),
		cmocka_unit_test_setup_teardown(msi_is_in_force_in_time, setup, teardown),
		cmocka_unit_test_setup_teardown(msi_is_in_force_in_time, setup_msi_with_masks,
						teardown_msi),
		cmocka_unit_test_setup_teardown(msi_to_physical_ids, setup, teardown),
		cmocka_unit_test_setup_teardown(msi_to_logical_ids, setup, teardown),
		cmocka_unit_test_setup_teardown(logical_ids_are_set_later, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
