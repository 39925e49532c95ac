/* A device's MSI-X on the virtual PCI bus: delivered, masked, and paused in a storm.
 *
 * sources: $(VPCI_SRCS)
 */
#include <tests/unit/vpci_machine.h>

#include <kernel/guest/devices/pci/vmsix.h>

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
	assert_true((irtes_open & 3) == 3);
	/* One more than the limit. It waits until the pause is over. */
	assert_int_equal(interrupts(1, 1), 0);
	assert_false(msix_can_send());
	assert_false(irtes_open);
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
	assert_false(irtes_open);
	check_device();
	/* The window is over. The guest has switched MSI-X off meanwhile, and so has lost what
	 * vector 0 kept. */
	deliveries = 0;
	now_ns += 10000000;
	fire();
	assert_int_equal(deliveries, 1);
	assert_int_equal(delivered_vector, 0x42);
	assert_true(msix_can_send());
	assert_true((irtes_open & 3) == 3);
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
	assert_true(irtes_open & 1);
	assert_int_equal(interrupts(0, 1), 0);
	assert_false(irtes_open & 1);
	assert_int_equal(dom.interrupt_pauses, 1);
	now_ns += 10000000;
	fire();
	assert_true(irtes_open & 1);
	/* The same when the guest has switched all of them off. */
	cfg_write(3, CAP_MSIX_AT + 2, 2, 0);
	assert_int_equal(interrupts(0, 11), 0);
	assert_false(irtes_open & 1);
	deliveries = 0;
	now_ns += 10000000;
	fire();
	assert_int_equal(deliveries, 0);
	irqstorm_set_limit(0);
}

/* The unit may still believe that the entry is not present: the device sends the message only when
 * the unit has answered. Nobody waits for that: the guest sees its entry as it wrote it. */
static void sent_when_the_unit_has_answered(void **state)
{
	u64 table = cfg_read(3, 0x1c, 4);

	(void)state;
	unit_is_slow = true;
	cfg_write(3, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_BUS_MASTER);
	cfg_write(3, CAP_MSIX_AT + 2, 2, 0x8000);
	for (u32 i = 0; i < 3; i++) {
		mem_write(table + 16 * i, 4, 0xfee00000);
		mem_write(table + 16 * i + 8, 4, 0x41 + i);
		mem_write(table + 16 * i + 12, 4, 0);
		assert_int_equal(mem_read(table + 16 * i + 12, 4), 0);
		assert_int_equal(bar3[16 * i + 12], 1);
	}
	/* Masked before the answer: it stays so. */
	mem_write(table + 16 + 12, 4, 1);
	unit_answers();
	assert_int_equal(bar3[12], 0);
	assert_int_equal(bar3[16 + 12], 1);
	assert_int_equal(bar3[32 + 12], 0);
	check_device();
	mem_write(table + 16 + 12, 4, 0);
	assert_int_equal(bar3[16 + 12], 0);
	check_device();

	/* After a pause the function stays masked until the entries are in force again. A message
	 * that the unit accepts before that is kept, and delivered once. */
	irqstorm_set_limit(100);
	now_ns += 10000000;
	assert_int_equal(interrupts(0, 2), 1);
	assert_false(msix_can_send());
	unit_answers();
	assert_int_equal(irtes_open, 0);
	deliveries = 0;
	now_ns += 10000000;
	fire();
	assert_false(msix_can_send());
	irq_handler[0x31](irq_arg[0x31]);
	irq_handler[0x31](irq_arg[0x31]);
	assert_int_equal(deliveries, 0);
	assert_int_equal(mem_read(table + 0x2000, 1), 3);
	cfg_write(3, CAP_MSIX_AT + 2, 2, 0x8000);
	assert_int_equal(deliveries, 0);
	assert_false(msix_can_send());
	/* One more vector is unmasked meanwhile, and a second pause begins before the answer. */
	mem_write(table + 48, 4, 0xfee00000);
	mem_write(table + 48 + 8, 4, 0x44);
	mem_write(table + 48 + 12, 4, 0);
	now_ns += 10000000;
	assert_int_equal(interrupts(2, 2), 0);
	assert_int_equal(dom.interrupt_pauses, 2);
	unit_answers();
	assert_false(msix_can_send());
	assert_int_equal(bar3[48 + 12], 1);
	fire();
	assert_false(msix_can_send());
	unit_answers();
	assert_true(msix_can_send());
	assert_int_equal(bar3[48 + 12], 0);
	assert_int_equal(deliveries, 3);
	check_device();
	irqstorm_set_limit(0);
}

/* The device is taken away before the unit has answered. */
static void taken_before_the_unit_has_answered(void **state)
{
	u64 table = cfg_read(3, 0x1c, 4);

	(void)state;
	unit_is_slow = true;
	cfg_write(3, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_BUS_MASTER);
	cfg_write(3, CAP_MSIX_AT + 2, 2, 0x8000);
	mem_write(table, 4, 0xfee00000);
	mem_write(table + 8, 4, 0x41);
	mem_write(table + 12, 4, 0);
	assert_int_equal(assign_take(&device), 0);
	unit_answers();
	assert_int_equal(bar3[12], 1);
	fire();
	check_free();
}

/* The device was quarantined for what it forged in the pause: its entries are not opened again, and
 * it can be taken away all the same. */
static void a_quarantined_device_stays_paused(void **state)
{
	u64 table = cfg_read(3, 0x1c, 4);

	(void)state;
	irqstorm_set_limit(100);
	cfg_write(3, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_BUS_MASTER);
	cfg_write(3, CAP_MSIX_AT + 2, 2, 0x8000);
	mem_write(table, 4, 0xfee00000);
	mem_write(table + 8, 4, 0x41);
	mem_write(table + 12, 4, 0);
	now_ns += 10000000;
	assert_int_equal(interrupts(0, 2), 1);
	assert_int_equal(irtes_open, 0);
	quarantined = true;
	pci_set_bus_master(&device, false);
	now_ns += 10000000;
	fire();
	assert_int_equal(irtes_open, 0);
	assert_false(msix_can_send());
	mem_write(table + 28, 4, 0xfee00000);
	mem_write(table + 24, 4, 0x42);
	mem_write(table + 28, 4, 0);
	cfg_write(3, CAP_MSIX_AT + 2, 2, 0x8000);
	assert_int_equal(irtes_open, 0);
	assert_false(msix_can_send());
	assert_int_equal(assign_take(&device), 0);
	fire();
	check_free();
	quarantined = false;
	irqstorm_set_limit(0);
}

static int setup_many_vectors(void **state)
{
	msix_vectors = MSIX_VECTORS_MANY;
	return setup(state);
}

static int teardown_many_vectors(void **state)
{
	int ret = teardown(state);

	msix_vectors = MSIX_VECTORS;
	return ret;
}

#define NEVER_WRITTEN 0x80000000u /* a reserved bit of vector control */

static u32 vector_control(u32 i)
{
	u32 v;

	memcpy(&v, bar3 + 16 * i + 12, sizeof(v));
	return v;
}

static u32 entries_written(void)
{
	const u32 fresh = NEVER_WRITTEN;
	u32 nr = 0;

	for (u32 i = 0; i < msix_vectors; i++) {
		u32 v = vector_control(i);

		nr += !(v & NEVER_WRITTEN);
		v = (v & 1) | fresh;
		memcpy(bar3 + 16 * i + 12, &v, sizeof(v));
	}
	return nr;
}

/* Each access of the guest, and each step of Weir, changes a bounded number of the device's entries
 * and posts a bounded number of invalidations, however many vectors the device has. */
static void switching_many_vectors(void **state)
{
	u64 table = cfg_read(3, 0x1c, 4);
	u32 steps = 0, sent;

	(void)state;
	cfg_write(3, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_BUS_MASTER);
	cfg_write(3, CAP_MSIX_AT + 2, 2, 0xc000);
	for (u32 i = 0; i < IOMMU_IRTES - 1; i++) {
		(void)entries_written();
		mem_write(table + 16 * i, 4, 0xfee00000);
		mem_write(table + 16 * i + 8, 4, 0x41);
		mem_write(table + 16 * i + 12, 4, 0);
		assert_int_equal(entries_written(), 1);
	}
	sent = invalidations;
	for (u32 i = 0; i < 8; i++) {
		cfg_write(3, CAP_MSIX_AT + 2, 2, i << 14);
		assert_int_equal(entries_written(), 0);
		assert_int_equal(config[CAP_MSIX_AT + 3] & 0xc0, (i & 3) << 6);
		check_device();
	}
	assert_int_equal(invalidations, sent);
	/* A pause, and its end. */
	cfg_write(3, CAP_MSIX_AT + 2, 2, 0x8000);
	irqstorm_set_limit(100);
	now_ns += 10000000;
	assert_int_equal(interrupts(0, 2), 1);
	assert_int_equal(invalidations, sent + 1);
	fire();
	assert_int_equal(invalidations, sent + 2);
	assert_int_equal(entries_written(), 0);
	assert_true(msix_can_send());
	irqstorm_set_limit(0);

	/* Another domain's turn: nothing that is left in the table is ever sent. */
	assert_int_equal(assign_take(&device), 0);
	fire();
	memset(bar3, 0, MSIX_VECTORS_MANY * 16);
	(void)entries_written();
	assert_int_equal(assign_start(&dom, &device, 0), 0);
	nr_timers--;
	timers[nr_timers]->fn(timers[nr_timers]);
	while (work_run()) {
		assert_in_range(entries_written(), 0, VMSIX_STEP);
		steps++;
	}
	assert_int_equal(device.state, PCI_ATTACHED);
	assert_in_range(steps, MSIX_VECTORS_MANY / VMSIX_STEP, 2 * MSIX_VECTORS_MANY / VMSIX_STEP);
	for (u32 i = 0; i < MSIX_VECTORS_MANY; i++)
		assert_int_equal(vector_control(i) & 1, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(msix_is_delivered, setup, teardown),
		cmocka_unit_test_setup_teardown(what_arrives_while_masked_is_kept, setup, teardown),
		cmocka_unit_test_setup_teardown(a_storm_is_paused, setup, teardown),
		cmocka_unit_test_setup_teardown(a_storm_of_a_masked_vector_is_paused, setup,
						teardown),
		cmocka_unit_test_setup_teardown(sent_when_the_unit_has_answered, setup, teardown),
		cmocka_unit_test_setup_teardown(taken_before_the_unit_has_answered, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_quarantined_device_stays_paused, setup, teardown),
		cmocka_unit_test_setup_teardown(switching_many_vectors, setup_many_vectors,
						teardown_many_vectors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
