/* Faults: what a unit records is reported in words, counted by reason, and cleared.
 *
 * sources: $(IOMMU_SRCS)
 * libs: $(IOMMU_LIBS)
 */
#include <stdio.h>

#include <tests/unit/iommu_fixture.h>

#include <kernel/abi/iommu.h>
#include <kernel/core/log.h>

static char told[4096];

void log_print(enum log_level level, const char *fmt, ...)
{
	size_t used = strlen(told);
	va_list ap;

	(void)level;
	va_start(ap, fmt);
	vsnprintf(told + used, sizeof(told) - used, fmt, ap);
	va_end(ap);
}

static bool silent;

bool log_allowed(struct log_limit *limit)
{
	return limit->burst && !silent;
}

static struct pci_id heard;
static u16 heard_owner;

static void hear(u16 owner, struct pci_id dev, enum iommu_event event)
{
	(void)event;
	heard = dev;
	heard_owner = owner;
}

static void serve(void)
{
	vtd_interrupts();
	while (vtd_work())
		;
}

/* The unit records the fault and raises its interrupt. */
static void fault(u16 bdf, u64 address, bool write, u32 reason)
{
	told[0] = 0;
	heard_owner = 0;
	vtd_record_fault(&vtd_units[0], bdf, address >> PAGE_SHIFT, write, reason);
	serve();
}

static u64 counted(enum weir_fault_kind kind)
{
	struct weir_stats s = { 0 };

	iommu_domain_stats(d, &s);
	return s.io_faults_by[kind];
}

static void reasons(void **state)
{
	static const struct {
		u32 reason;
		const char *text;
		enum weir_fault_kind kind;
	} known[] = {
		{ 0x1, "the root entry is not present", WEIR_FAULT_CONTEXT },
		{ 0x2, "the device is unassigned", WEIR_FAULT_CONTEXT },
		{ 0x3, "the context entry is invalid", WEIR_FAULT_CONTEXT },
		{ 0x4, "beyond the domain's width", WEIR_FAULT_WIDTH },
		{ 0x5, "may not be written", WEIR_FAULT_WRITE },
		{ 0x6, "may not be read", WEIR_FAULT_READ },
		{ 0x7, "a page table cannot be read", WEIR_FAULT_TABLE },
		{ 0x8, "the root table cannot be read", WEIR_FAULT_CONTEXT },
		{ 0x9, "the context table cannot be read", WEIR_FAULT_CONTEXT },
		{ 0xa, "a root entry has reserved bits", WEIR_FAULT_CONTEXT },
		{ 0xb, "a context entry has reserved bits", WEIR_FAULT_CONTEXT },
		{ 0xc, "a page-table entry has reserved bits", WEIR_FAULT_TABLE },
		{ 0xd, "translation requests are blocked", WEIR_FAULT_CONTEXT },
		{ 0x20, "an interrupt message has reserved bits", WEIR_FAULT_INTERRUPT },
		{ 0x21, "beyond the table", WEIR_FAULT_INTERRUPT },
		{ 0x22, "an entry that is not present", WEIR_FAULT_INTERRUPT },
		{ 0x23, "the interrupt-remapping table cannot be read", WEIR_FAULT_INTERRUPT },
		{ 0x24, "an interrupt-remapping entry has reserved bits", WEIR_FAULT_INTERRUPT },
		{ 0x25, "an interrupt in compatibility format", WEIR_FAULT_INTERRUPT },
		{ 0x26, "another device's entry", WEIR_FAULT_INTERRUPT },
		{ 0x77, "7.2.3", WEIR_FAULT_OTHER },
	};

	(void)state;
	start(&plain, false);
	iommu_set_event_hook(hear);
	for (u32 i = 0; i < ARRAY_SIZE(known); i++) {
		u64 before = counted(known[i].kind);

		fault(VTD_DEVICE_0.bdf, 0x12345000, i % 2, known[i].reason);
		if (!strstr(told, known[i].text) || !strstr(told, "device 00:03.0 of test"))
			fail_msg("reason 0x%x: \"%s\"", known[i].reason, told);
		assert_int_equal(counted(known[i].kind), before + 1);
		assert_int_equal(heard_owner, OWNER);
		/* F is clear: the next fault is recorded. */
		assert_int_equal(vtd_reg32(&vtd_units[0], FSTS_REG) & FSTS_PPF, 0);
	}
	finish(false);
}

#define FLOOD 1000u /* more faults than this in a second */

/* The device sends its message, whether it may or not: a unit that does not deliver the entry
 * reports a fault. */
static bool send_message(u16 index)
{
	u64 entry;

	if (vtd_interrupt(VTD_DEVICE_0, index, &entry))
		return true;
	fault(VTD_DEVICE_0.bdf, (u64)index << PAGE_SHIFT, true, FAULT_IR_NOT_PRESENT);
	return false;
}

/* A device raises interrupts without end. Its entries are blocked for a while (irq-limit=), but it
 * goes on, since it forges the messages by DMA. Each of them is a fault now, and a flood of them
 * puts it into quarantine, where it is no bus master any more. */
static void forged_messages_end_in_quarantine(void **state)
{
	struct iommu_irtes e;
	u32 forged = 0;

	(void)state;
	start(&plain, false);
	iommu_set_event_hook(hear);
	assert_int_equal(iommu_irtes_alloc(&e, VTD_DEVICE_0, NULL, NULL), 0);
	iommu_irtes_set(&e, 0, 1, 65);
	vtd_settle();
	for (u32 pause = 0; pause < 3; pause++) {
		for (u32 i = 0; i < 2 * FLOOD; i++)
			assert_true(send_message(e.first));
		iommu_irtes_block(&e, true);
		vtd_settle();
		for (u32 i = 0; i < FLOOD / 3; i++, forged++)
			assert_false(send_message(e.first));
		assert_int_equal(counted(WEIR_FAULT_INTERRUPT), forged);
		assert_int_equal(iommu_device_state(VTD_DEVICE_0), IOMMU_DEVICE_ATTACHED);
		iommu_irtes_block(&e, false);
		vtd_settle();
	}
	iommu_irtes_block(&e, true);
	vtd_settle();
	for (; forged <= FLOOD; forged++) {
		assert_int_equal(iommu_device_state(VTD_DEVICE_0), IOMMU_DEVICE_ATTACHED);
		assert_false(vtd_stopped[0]);
		assert_false(send_message(e.first));
	}
	assert_int_equal(iommu_device_state(VTD_DEVICE_0), IOMMU_DEVICE_QUARANTINED);
	assert_true(vtd_stopped[0]);
	assert_non_null(
		strstr(told, "device 00:03.0 of test: floods Weir with faults: quarantined"));
	assert_int_equal(heard_owner, OWNER);
	vtd_settle();
	iommu_irtes_free(&e, NULL, NULL);
	finish(false);
}

/* The next log line shows the walk and the page at its end. */
static void the_walk_is_told(void **state)
{
	char page[64];

	(void)state;
	start(&plain, false);
	assert_int_equal(map(0x100, VTD_RAM_FIRST + 3, 1), 0);
	fault(VTD_DEVICE_0.bdf, 0x100000, true, 5);
	snprintf(page, sizeof(page), "page 0x%lx: owner %u, type ram",
		 (VTD_RAM_FIRST + 3) << PAGE_SHIFT, OWNER);
	assert_non_null(strstr(told, "write of address 0x100000"));
	assert_non_null(strstr(told, "level 4 entry"));
	assert_non_null(strstr(told, "level 1 entry"));
	assert_non_null(strstr(told, page));
	fault(VTD_DEVICE_0.bdf, 0x101000, false, 6);
	assert_non_null(strstr(told, "read of address 0x101000"));
	assert_non_null(strstr(told, "(empty)"));
	assert_int_equal(map(0x101, VTD_RAM_FIRST + 4, 1), 0);
	unmap(0x100, 1);
	fault(VTD_DEVICE_0.bdf, 0x100000, false, 6);
	assert_non_null(strstr(told, "waits for its release"));
	finish(false);
}

static void nobodys_device_and_a_full_record(void **state)
{
	(void)state;
	start(&plain, false);
	iommu_set_event_hook(hear);
	fault(PCI_BDF(7, 1, 2), 0x1000, false, 2);
	assert_non_null(strstr(told, "device 07:01.2 of no domain"));
	assert_int_equal(heard_owner, OWNER_NONE);
	assert_int_equal(heard.bdf, PCI_BDF(7, 1, 2));
	assert_null(strstr(told, "level"));
	/* Two faults before the interrupt: the second is lost, and PFO reports that. */
	vtd_record_fault(&vtd_units[0], VTD_DEVICE_0.bdf, 1, false, 6);
	vtd_record_fault(&vtd_units[0], VTD_DEVICE_0.bdf, 2, false, 6);
	assert_true(vtd_reg32(&vtd_units[0], FSTS_REG) & FSTS_PFO);
	serve();
	assert_false(vtd_reg32(&vtd_units[0], FSTS_REG) & (FSTS_PFO | FSTS_PPF));
	assert_int_equal(counted(WEIR_FAULT_READ), 1);
	finish(false);
}

static u64 overflows(u32 unit)
{
	struct weir_unit_stats s;

	assert_true(iommu_unit_stats(unit, &s));
	return s.fault_overflows;
}

/* A unit has a single record here, and says only that something was lost, not what. */
static void lost_faults_are_told(void **state)
{
	(void)state;
	start(&plain, true);
	fault(VTD_DEVICE_0.bdf, 0x1000, false, 6);
	assert_null(strstr(told, "lost"));
	assert_int_equal(overflows(0), 0);
	for (u32 i = 1; i <= 3; i++) {
		told[0] = 0;
		silent = i == 2; /* its lines are limited */
		for (u32 k = 0; k < 5; k++)
			vtd_record_fault(&vtd_units[1], VTD_DEVICE_1.bdf, k, false, 6);
		serve();
		assert_int_equal(overflows(1), i);
		assert_int_equal(strstr(told, "unit 1 has lost faults") != NULL, !silent);
		assert_null(strstr(told, "unit 0 has lost faults"));
		assert_false(vtd_reg32(&vtd_units[1], FSTS_REG) & (FSTS_PFO | FSTS_PPF));
	}
	silent = false;
	assert_int_equal(overflows(0), 0);
	/* The first fault of each round was recorded, and so counted. */
	assert_int_equal(counted(WEIR_FAULT_READ), 1 + 3);
	finish(true);
}

/* CAP may name records beyond the registers that the DMAR table tells of. */
static void records_far_from_the_other_registers(void **state)
{
	static const struct vtd_config far = {
		.cap_set = FIELD_PREP(CAP_FRO, 0x3ffUL) | CAP_NFR,
	};

	(void)state;
	assert_false(iommu_overlaps(MACHINE_REGS + 4 * PAGE_SIZE, MACHINE_REGS + 5 * PAGE_SIZE));
	start(&far, false);
	assert_true(iommu_overlaps(MACHINE_REGS + 4 * PAGE_SIZE, MACHINE_REGS + 5 * PAGE_SIZE));
	fault(VTD_DEVICE_0.bdf, 0x1000, false, 6);
	fault(VTD_DEVICE_0.bdf, 0x1000, false, 6);
	assert_int_equal(counted(WEIR_FAULT_READ), 2);
	finish(false);
}

static void answer_unasked(u16 owner, struct pci_id dev, enum iommu_event event)
{
	(void)owner, (void)dev, (void)event;
	vtd_unexpected_answer(0, 0);
}

/* An error that occurs while faults are being read raises no interrupt of its own. If it were
 * overlooked, it and everything after it would stay unnoticed: a time-out would stop the queue. */
static void an_error_while_faults_are_read(void **state)
{
	(void)state;
	start(&plain, false);
	iommu_set_event_hook(answer_unasked);
	fault(VTD_DEVICE_0.bdf, 0x1000, false, 6);
	assert_int_equal(vtd_reg32(&vtd_units[0], FSTS_REG), 0);
	assert_non_null(strstr(told, "nobody requested"));
	iommu_set_event_hook(hear);
	fault(VTD_DEVICE_0.bdf, 0x1000, false, 6);
	assert_int_equal(counted(WEIR_FAULT_READ), 2);
	finish(false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reasons),
		cmocka_unit_test(forged_messages_end_in_quarantine),
		cmocka_unit_test(the_walk_is_told),
		cmocka_unit_test(nobodys_device_and_a_full_record),
		cmocka_unit_test(lost_faults_are_told),
		cmocka_unit_test(an_error_while_faults_are_read),
		cmocka_unit_test(records_far_from_the_other_registers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
