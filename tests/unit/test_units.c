/* Initialization of the units: a unit that is unsupported, does not answer or lacks memory is
 * reported and left alone, none of its devices can be assigned, and domains without devices work
 * all the same.
 *
 * sources: $(IOMMU_SRCS)
 * libs: $(IOMMU_LIBS) $(FAILURE_LIBS)
 */
#include <tests/unit/iommu_fixture.h>

#include <stdio.h>

#include <iommu/reserved.h>
#include <kernel/abi/iommu.h>
#include <kernel/core/log.h>
#include <tests/unit/failures.h>

static char last_error[512], told[4096];

void log_print(enum log_level level, const char *fmt, ...)
{
	va_list ap;

	size_t used = strlen(told);

	va_start(ap, fmt);
	vsnprintf(told + used, sizeof(told) - used, fmt, ap);
	va_end(ap);
	if (level == LOG_ERR)
		copy_string(last_error, told + used, sizeof(last_error));
}

/* A domain on a machine without units: no tables, and its batches complete. */
static void domains_work_without_units(void)
{
	IOMMU_GATHER(g);

	assert_int_equal(iommu_domain_create(&d, OWNER, "test", wake, NULL), 0);
	assert_null(d->root);
	assert_int_equal(iommu_attach(d, VTD_DEVICE_0, 0), -ENODEV);
	assert_int_equal(iommu_gather_begin(&g, d), 0);
	iommu_gather_commit(&g, 0);
	gone = false;
	iommu_domain_destroy(d, mark_gone, NULL);
	while (vtd_work())
		;
	assert_true(gone);
}

static void expect_absent(const struct vtd_config *config, const char *why, const char *error)
{
	last_error[0] = 0;
	assert_false(vtd_start(config));
	assert_non_null(iommu_why_absent());
	if (!strstr(iommu_why_absent(), why))
		fail_msg("\"%s\" does not say \"%s\"", iommu_why_absent(), why);
	if (!strstr(last_error, error))
		fail_msg("\"%s\" does not say \"%s\"", last_error, error);
	assert_ptr_equal(iommu_why_not(VTD_DEVICE_0, false), iommu_why_absent());
	domains_work_without_units();
	vtd_stop();
}

static void units_that_do_not_fit(void **state)
{
	(void)state;
	expect_absent(&(struct vtd_config){ .cap_set = ~0UL }, "lines above", "all ones");
	expect_absent(&(struct vtd_config){ .ecap_set = ~0UL }, "lines above", "all ones");
	expect_absent(&(struct vtd_config){ .cap_clear = ~0UL, .ecap_clear = ~0UL }, "lines above",
		      "read as zeros");
	expect_absent(&(struct vtd_config){ .ecap_clear = ECAP_QI }, "lines above", "ECAP.QI");
	expect_absent(&(struct vtd_config){ .cap_set = CAP_RWBF }, "lines above", "CAP.RWBF");
	expect_absent(&(struct vtd_config){ .cap_clear = CAP_DRD }, "lines above", "CAP.DRD");
	expect_absent(&(struct vtd_config){ .cap_clear = CAP_DWD }, "lines above", "CAP.DWD");
	expect_absent(&(struct vtd_config){ .cap_clear = CAP_SAGAW }, "lines above", "CAP.SAGAW");
}

static void words_of_the_administrator(void **state)
{
	struct iommu_options options = { .off = true };
	u8 broken[60] = { 0 };

	(void)state;
	assert_true(vtd_start(&plain));
	assert_int_equal(iommu_init(NULL, 0, &options), -ENODEV);
	assert_non_null(strstr(iommu_why_absent(), "iommu=off"));
	options.off = false;
	assert_int_equal(iommu_init(NULL, 0, &options), -ENODEV);
	assert_non_null(strstr(iommu_why_absent(), "no DMAR table"));
	assert_int_equal(iommu_init(NULL, 0, &(struct iommu_options){ .has_ivrs = true }), -ENODEV);
	assert_non_null(strstr(iommu_why_absent(), "AMD's IOMMU"));
	assert_int_equal(iommu_init(broken, sizeof(broken), &options), -ENODEV);
	assert_non_null(strstr(iommu_why_absent(), "lines above"));
	vtd_stop();

	/* Without interrupt remapping, DMA is still blocked, and no device can be assigned. */
	assert_true(vtd_start(&(struct vtd_config){ .ecap_clear = ECAP_IR }));
	assert_non_null(strstr(iommu_why_absent(), "unit has interrupt remapping"));
	assert_non_null(iommu_why_not(VTD_DEVICE_0, true));
	vtd_stop();
}

static void what_is_said(void **state)
{
	static const struct {
		struct vtd_config config;
		const char *words;
	} units[] = {
		{ { .cap_clear = CAP_SLLPS_1G | CAP_SLLPS_2M }, "leaves to 4K" },
		{ { .cap_clear = CAP_SLLPS_1G }, "leaves to 2M" },
		{ { .cap_set = CAP_CM, .ecap_set = ECAP_C },
		  "coherent walks, interrupt remapping (x2APIC), caching mode" },
		{ { .cap_clear = CAP_SAGAW_48 }, "3-level tables" },
		{ { .cap_set = CAP_SAGAW_57, .cap_clear = CAP_SAGAW_48 | CAP_SAGAW_39 },
		  "5-level tables" },
	};

	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(units); i++) {
		told[0] = 0;
		assert_true(vtd_start(&units[i].config));
		if (!strstr(told, units[i].words))
			fail_msg("%s: \"%s\"", units[i].words, told);
		vtd_stop();
	}
}

/* One unit works and the other does not, which was said with the functions behind it: only devices
 * of the working unit can be assigned. */
static void expect_one_unit(unsigned int broken, const char *error)
{
	struct pci_id good = broken ? VTD_DEVICE_0 : VTD_DEVICE_1,
		      bad = broken ? VTD_DEVICE_1 : VTD_DEVICE_0;
	struct weir_unit_stats s;
	struct iommu_irtes e;
	const char *names;
	char said[80];
	mfn_t seen;

	if (!strstr(last_error, error))
		fail_msg("\"%s\" does not say \"%s\"", last_error, error);
	snprintf(said, sizeof(said), "unit %u at 0x%lx does not work: these devices", broken,
		 iommu_dmar.unit[broken].base);
	names = strstr(told, said);
	if (!names)
		fail_msg("\"%s\" does not say \"%s\"", told, said);
	for (u32 i = 0; i < VTD_DEVICES; i++) {
		char name[16];
		const char *at = strstr(names, pci_name(vtd_devices[i], name));

		assert_int_equal(at && at < strchr(names, ';'), vtd_unit_of_device(i) == broken);
	}
	assert_null(iommu_why_not(good, false));
	assert_non_null(iommu_why_not(bad, false));
	/* A virtual function belongs to the unit of its physical function, whatever the table says
	 * about devices that it does not list. */
	vtd_virtual = (struct pci_id){ 0, PCI_BDF(0xfe, 16, 2) };
	vtd_physical = good;
	assert_null(iommu_why_not(vtd_virtual, false));
	vtd_physical = bad;
	assert_non_null(iommu_why_not(vtd_virtual, false));
	assert_true(iommu_unit_stats(broken, &s));
	assert_false(s.works);
	assert_int_equal(frame_set(VTD_RAM_FIRST, ORDER_1G, FRAME_RAM, OWNER), 0);
	assert_int_equal(iommu_domain_create(&d, OWNER, "test", wake, NULL), 0);
	assert_int_equal(iommu_attach(d, bad, 0), -ENODEV);
	assert_int_equal(iommu_irtes_alloc(&e, bad, NULL, NULL), -ENODEV);
	assert_int_equal(iommu_attach(d, good, 0), 0);
	assert_int_equal(map(1, VTD_RAM_FIRST, 1), 0);
	assert_true(vtd_dma(good, 1, &seen));
	unmap(1, 1);
	/* Only its own unit has to answer. */
	vtd_settle();
	assert_int_equal(frame_dev_refs(VTD_RAM_FIRST), 0);
	detach(good);
	gone = false;
	iommu_domain_destroy(d, mark_gone, NULL);
	vtd_settle();
	assert_true(gone);
	vtd_stop();
	nothing_fails();
	last_error[0] = told[0] = 0;
}

/* Seen: the unit of a graphics device that is switched off reads as all ones. */
static void one_unit_does_not_fit(void **state)
{
	static const struct {
		u64 cap_set, cap_clear, ecap_set, ecap_clear;
		const char *error;
	} units[] = {
		{ ~0UL, 0, ~0UL, 0, "all ones" },
		{ 0, ~0UL, 0, ~0UL, "zeros" },
		{ 0, 0, 0, ECAP_QI, "ECAP.QI" },
		{ CAP_RWBF, 0, 0, 0, "CAP.RWBF" },
		{ 0, CAP_DRD, 0, 0, "CAP.DRD" },
		{ 0, CAP_SAGAW, 0, 0, "CAP.SAGAW" },
		{ CAP_SAGAW_57, CAP_SAGAW_48 | CAP_SAGAW_39, 0, 0, "no tables of 4 levels" },
	};

	(void)state;
	for (unsigned int broken = 0; broken < VTD_UNITS; broken++) {
		for (u32 i = 0; i < ARRAY_SIZE(units); i++) {
			struct vtd_config c = { 0 };

			c.only[broken].cap_set = units[i].cap_set;
			c.only[broken].cap_clear = units[i].cap_clear;
			c.only[broken].ecap_set = units[i].ecap_set;
			c.only[broken].ecap_clear = units[i].ecap_clear;
			told[0] = 0;
			assert_true(vtd_start(&c));
			assert_int_equal(iommu_common.levels, 4);
			expect_one_unit(broken, units[i].error);
		}
		told[0] = 0;
		fail_mmio_map = broken + 1;
		assert_true(vtd_start(&plain));
		expect_one_unit(broken, "cannot be mapped");
	}
}

/* Devices behind a unit without interrupt remapping are blocked like all others, but stay with
 * Weir. */
static void one_unit_does_not_remap(void **state)
{
	struct vtd_config c = { 0 };
	mfn_t seen;

	(void)state;
	c.only[1].ecap_clear = ECAP_IR;
	assert_true(vtd_start(&c));
	assert_null(iommu_why_absent());
	assert_null(iommu_why_not(VTD_DEVICE_0, false));
	assert_non_null(strstr(iommu_why_not(VTD_DEVICE_1, true), "no interrupt remapping"));
	assert_false(vtd_dma(VTD_DEVICE_1, 1, &seen));
	vtd_stop();
}

/* Seen: a region that the memory map says is RAM. Its device is refused in words, before anything
 * is mapped, and so is one with a region that makes no sense; other devices are not concerned. */
static void reserved_memory_that_is_ram(void **state)
{
	struct pci_id one = VTD_RESERVED_DEVICE(0), two = VTD_RESERVED_DEVICE(1);

	(void)state;
	assert_true(vtd_start(&plain));
	assert_null(iommu_why_not(one, true));
	assert_non_null(strstr(iommu_why_not(one, false), "control domain alone"));
	assert_int_equal(frame_set(VTD_RESERVED_FIRST + VTD_RESERVED_FRAMES - 1, 0, FRAME_RAM, 7),
			 0);
	told[0] = 0;
	reserved_check();
	assert_non_null(strstr(told, "device 00:05.0 with 0x9000000-0x9257fff cannot be assigned"));
	assert_non_null(strstr(iommu_why_not(one, true), "RAM in its own memory map"));
	assert_non_null(iommu_why_not(two, true));
	assert_null(iommu_why_not(VTD_DEVICE_0, true));

	iommu_dmar.reserved[0].last -= PAGE_SIZE;
	iommu_dmar.reserved[1].last = iommu_dmar.reserved[1].first - 1;
	reserved_check();
	assert_null(iommu_why_not(one, true));
	assert_non_null(strstr(iommu_why_not(two, true), "makes no sense"));
	iommu_dmar.reserved[1].last = ~0UL;
	reserved_check();
	assert_non_null(strstr(iommu_why_not(two, true), "makes no sense"));
	vtd_stop();
}

/* The registers of unit 0 read as all ones from now on. */
static void expect_death(void)
{
	unsigned int n = 0;

	told[0] = 0;
	while (vtd_interrupts() || vtd_work())
		assert_true(++n < 100);
	assert_non_null(strstr(told, "unit 0 at 0xfed90000 has died"));
	assert_non_null(strstr(told, "device 00:03.0 of test: its remapping unit has died"));
	assert_null(strstr(told, "00:04.0"));
	assert_true(vtd_stopped[0]);
	assert_false(vtd_stopped[1]);
	assert_int_equal(iommu_device_state(VTD_DEVICE_0), IOMMU_DEVICE_QUARANTINED);
	assert_int_equal(iommu_device_state(VTD_DEVICE_1), IOMMU_DEVICE_ATTACHED);
	assert_non_null(iommu_why_not(vtd_devices[4], false));
	assert_int_equal(iommu_attach(d, vtd_devices[4], 0), -ENODEV);
	/* It is told once. */
	told[0] = 0;
	work_queue(&iommu_units[0].fault_work);
	while (vtd_work())
		;
	assert_string_equal(told, "");
}

/* No unit does that, but the next test needs the record of the device. */
static void revive(void)
{
	vtd_dead[0] = false;
	vtd_set_reg32(&vtd_units[0], ICS_REG, 0);
	vtd_set_reg32(&vtd_units[0], FSTS_REG, 0);
	spin_lock(&iommu_units[0].queue.lock);
	iommu_units[0].queue.stuck = false;
	queue_post_waiting(&iommu_units[0]);
	spin_unlock(&iommu_units[0].queue.lock);
	vtd_settle();
}

/* A unit dies: while a fault is reported, while a completion is, or silently. */
static void a_unit_dies(void **state)
{
	struct iommu_domain *other;
	mfn_t seen;

	(void)state;
	for (int how = 0; how < 3; how++) {
		IOMMU_GATHER(g);
		int ret = 0;

		assert_true(vtd_start(&plain));
		assert_int_equal(frame_set(VTD_RAM_FIRST, ORDER_1G, FRAME_RAM, OWNER), 0);
		assert_int_equal(iommu_domain_create(&other, OWNER + 1, "other", wake, NULL), 0);
		assert_int_equal(iommu_domain_create(&d, OWNER, "test", wake, NULL), 0);
		assert_int_equal(iommu_attach(d, VTD_DEVICE_0, 0), 0);
		assert_int_equal(iommu_attach(d, VTD_DEVICE_1, 0), 0);
		assert_int_equal(map(0, VTD_RAM_FIRST, 100), 0);
		assert_true(vtd_dma(VTD_DEVICE_0, 1, &seen));
		unmap(0, 1);
		if (how == 0)
			vtd_record_fault(&vtd_units[0], VTD_DEVICE_0.bdf, 3, true, FAULT_WRITE);
		if (how == 1)
			vtd_raise_completion(&vtd_units[0]);
		vtd_dead[0] = true;
		vtd_execute(1, ~0u);
		for (dfn_t i = 1; how == 2 && !ret; i++) {
			ret = iommu_gather_begin(&g, d);
			if (ret)
				break;
			iommu_unmap(&g, i, 1);
			iommu_gather_commit(&g, 1);
		}
		expect_death();
		/* What it may have cached is not given back; the other unit goes on. */
		vtd_settle();
		assert_int_equal(frame_dev_refs(VTD_RAM_FIRST), 1);
		assert_true(vtd_dma(VTD_DEVICE_1, 50, &seen));
		detach(VTD_DEVICE_1);
		assert_int_equal(iommu_attach(other, VTD_DEVICE_1, 0), 0);
		vtd_settle();
		assert_int_equal(iommu_device_state(VTD_DEVICE_1), IOMMU_DEVICE_ATTACHED);
		detach(VTD_DEVICE_1);
		revive();
		detach(VTD_DEVICE_0);
		iommu_domain_destroy(d, mark_gone, NULL);
		iommu_domain_destroy(other, mark_gone, NULL);
		vtd_settle();
		vtd_stop();
	}
}

static void one_unit_has_no_memory(void **state)
{
	unsigned int pages = 1;

	(void)state;
	/* Each page that the first unit needs: root table, queue, status, interrupt-remapping
	 * table. */
	for (; pages <= 4; pages++) {
		fail_alloc = pages;
		assert_true(vtd_start(&plain));
		expect_one_unit(0, "iommu: unit 0");
	}
	for (unsigned int n = 1; n <= 2; n++) { /* root and interrupt-remapping table */
		fail_frame_set = n;
		assert_true(vtd_start(&plain));
		expect_one_unit(0, "no memory for its");
	}
	fail_kzalloc = 1;
	assert_true(vtd_start(&plain));
	expect_one_unit(0, "no memory for its interrupt-remapping table");
	for (unsigned int n = 1; n <= 4; n++) { /* fault and completion events of both */
		fail_irq_alloc = n;
		assert_true(vtd_start(&plain));
		expect_one_unit((n - 1) / 2, "its events cannot be set up");
	}
}

static void commands_without_an_answer(void **state)
{
	static const u64 bits[] = { GCMD_SRTP, GCMD_QIE, GCMD_SIRTP, GCMD_IRE, GCMD_TE };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bits); i++) {
		char bit[40];

		deaf_to = bits[i];
		snprintf(bit, sizeof(bit), "command bit %d", __builtin_ctzl(bits[i]));
		last_error[0] = 0;
		assert_false(vtd_start(&plain));
		assert_non_null(strstr(iommu_why_absent(), "no remapping unit can be used"));
		if (bits[i] != GCMD_QIE) /* reported like the queue's */
			assert_non_null(strstr(last_error, bit));
		domains_work_without_units();
		vtd_stop();
		nothing_fails();
	}
}

/* The firmware may know why interrupts must not be remapped: DMA is blocked all the same. */
static void the_firmware_forbids_remapping(void **state)
{
	static const struct iommu_options options;
	u8 dmar[64] = { [36] = 47, [37] = 4, [48 + 2] = 16, [48 + 4] = 1 };
	u64 base = MACHINE_REGS;

	(void)state;
	assert_true(vtd_start(&plain));
	memcpy(dmar + 48 + 8, &base, 8);
	memset(iommu_units, 0, sizeof(iommu_units));
	vtd_set_reg32(&vtd_units[0], GSTS_REG, 0);
	vtd_set_reg64(&vtd_units[0], IQH_REG, 0);
	told[0] = 0;
	assert_int_equal(iommu_init(dmar, 64, &options), 0);
	assert_true(vtd_reg32(&vtd_units[0], GSTS_REG) & GCMD_TE);
	assert_false(vtd_reg32(&vtd_units[0], GSTS_REG) & GCMD_IRE);
	assert_non_null(strstr(told, "does not allow interrupt remapping"));
	assert_non_null(strstr(told, "DMA_CTRL_PLATFORM_OPT_IN"));
	assert_non_null(strstr(iommu_why_not(VTD_DEVICE_0, true), "INTR_REMAP = 0"));
	vtd_stop();
}

/* An earlier system left the unit running, and it can or cannot be stopped. */
static void left_running(void **state)
{
	static const u64 bits[] = { GCMD_TE, GCMD_IRE, GCMD_QIE };
	u32 running;
	u64 cap;

	(void)state;
	assert_true(vtd_start(&plain));
	running = vtd_reg32(&vtd_units[0], GSTS_REG);
	cap = vtd_reg64(&vtd_units[0], CAP_REG) | CAP_PLMR | CAP_PHMR;
	vtd_set_reg64(&vtd_units[0], CAP_REG, cap);
	for (size_t i = 0; i < ARRAY_SIZE(bits); i++) {
		static const struct iommu_options options;
		u8 dmar[64] = { [36] = 47, [37] = 1, [48 + 2] = 16, [48 + 4] = 1 };
		u64 base = MACHINE_REGS;

		memcpy(dmar + 48 + 8, &base, 8);
		deaf_to = bits[i];
		vtd_set_reg32(&vtd_units[0], GSTS_REG, running);
		assert_int_equal(iommu_init(dmar, 64, &options), -ENODEV);
		/* Later steps were not performed: they depend on what could not be switched off. */
		for (size_t k = i + 1; k < ARRAY_SIZE(bits); k++)
			assert_true(vtd_reg32(&vtd_units[0], GSTS_REG) & bits[k]);
		deaf_to = 0;
		/* Messages in compatibility format pass, and memory is protected. */
		vtd_set_reg32(&vtd_units[0], GSTS_REG, running | (u32)GCMD_CFI);
		vtd_set_reg32(&vtd_units[0], PMEN_REG, (u32)(PMEN_EPM | PMEN_PRS));
		/* Its queue has stopped at a descriptor, or is empty. */
		vtd_set_reg64(&vtd_units[0], IQT_REG,
			      (vtd_reg64(&vtd_units[0], IQH_REG) + 32 * i) % PAGE_SIZE);
		/* Nobody has read its faults, nor seen its errors. */
		vtd_record_fault(&vtd_units[0], VTD_DEVICE_0.bdf, 1, true, 5);
		vtd_record_fault(&vtd_units[0], VTD_DEVICE_0.bdf, 2, true, 5);
		vtd_raise_fault(&vtd_units[0], FSTS_IQE | FSTS_ICE | FSTS_ITE);
		vtd_units[0].fault_raised = false; /* its interrupt went elsewhere */
		told[0] = 0;
		memset(iommu_units, 0, sizeof(iommu_units));
		assert_int_equal(iommu_init(dmar, 64, &options), 0);
		assert_non_null(strstr(told, "left by an earlier system: 1, one of them of device "
					     "00:03.0 (reason 0x5)"));
		assert_int_equal(!!strstr(told, "they are dropped"), i > 0);
		assert_int_equal(vtd_reg32(&vtd_units[0], FSTS_REG), 0);
		vtd_record_fault(&vtd_units[0], VTD_DEVICE_0.bdf, 3, true, 5);
		assert_true(vtd_interrupts());
		while (vtd_work())
			;
		assert_int_equal(iommu_units[0].faults, 1);
		assert_null(iommu_why_absent());
		assert_true(vtd_reg32(&vtd_units[0], GSTS_REG) & GCMD_IRE);
		assert_false(vtd_reg32(&vtd_units[0], GSTS_REG) & GCMD_CFI);
		assert_int_equal(vtd_reg32(&vtd_units[0], PMEN_REG), 0);
	}
	/* Guests get no byte of the registers themselves. */
	assert_true(iommu_overlaps(MACHINE_REGS + 2 * PAGE_SIZE - 1, MACHINE_REGS + 0xffff));
	assert_true(iommu_overlaps(0, MACHINE_REGS));
	assert_true(iommu_overlaps(MACHINE_REGS + 8, MACHINE_REGS + 8));
	assert_false(iommu_overlaps(0, MACHINE_REGS - 1));
	assert_false(iommu_overlaps(MACHINE_REGS + 2 * PAGE_SIZE, ~0UL));
	vtd_stop();
}

/* The queue answers only after the request has timed out, and the request was on a stack frame that
 * is gone. The first request flushes everything, the second is for interrupt remapping. */
static void an_answer_after_the_time_out(void **state)
{
	(void)state;
	for (int first = 0; first < 2; first++) {
		units_awake = first;
		last_error[0] = 0;
		assert_false(vtd_start(&plain));
		assert_non_null(strstr(last_error, "invalidation queue does not answer"));
		nothing_fails();
		for (unsigned int u = 0; u < VTD_UNITS; u++)
			vtd_execute(u, ~0u);
		while (vtd_interrupts())
			;
		domains_work_without_units();
		vtd_stop();
	}
}

static int teardown(void **state)
{
	(void)state;
	nothing_fails();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(units_that_do_not_fit, teardown),
		cmocka_unit_test_teardown(one_unit_does_not_fit, teardown),
		cmocka_unit_test_teardown(one_unit_does_not_remap, teardown),
		cmocka_unit_test_teardown(reserved_memory_that_is_ram, teardown),
		cmocka_unit_test_teardown(words_of_the_administrator, teardown),
		cmocka_unit_test_teardown(what_is_said, teardown),
		cmocka_unit_test_teardown(one_unit_has_no_memory, teardown),
		cmocka_unit_test_teardown(commands_without_an_answer, teardown),
		cmocka_unit_test_teardown(the_firmware_forbids_remapping, teardown),
		cmocka_unit_test_teardown(left_running, teardown),
		cmocka_unit_test_teardown(an_answer_after_the_time_out, teardown),
		cmocka_unit_test_teardown(a_unit_dies, teardown),
	};

	/* Most of these wait for the end of a time-out. */
	vtd_clock_step = 100000;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
