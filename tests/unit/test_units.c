/* Bringing units up: what Weir cannot work with is refused in words, and whatever fails leaves no device that could be given.
 *
 * sources: $(IOMMU_SRCS)
 * libs: $(IOMMU_LIBS)
 */
#include <stdio.h>

#include <tests/unit/iommu_fixture.h>

#include <kernel/abi/iommu.h>
#include <kernel/log.h>

static char told[8192];

void log_print(enum log_level level, const char *fmt, ...)
{
	size_t used = strlen(told);
	va_list ap;

	(void)level;
	va_start(ap, fmt);
	vsnprintf(told + used, sizeof(told) - used, fmt, ap);
	va_end(ap);
}

static void cannot_be_used(void **state)
{
	static const struct {
		struct vtd_config config;
		const char *why;
	} units[] = {
		{ { .cap_set = ~0UL }, "all ones" },
		{ { .ecap_clear = ECAP_QI }, "ECAP.QI" },
		{ { .cap_set = CAP_RWBF }, "CAP.RWBF" },
		{ { .cap_clear = CAP_SAGAW }, "CAP.SAGAW" },
	};

	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(units); i++) {
		told[0] = 0;
		assert_false(vtd_start(&units[i].config));
		if (!strstr(told, units[i].why))
			fail_msg("%s: \"%s\"", units[i].why, told);
		assert_non_null(iommu_why_absent());
		assert_non_null(iommu_why_not(VTD_DEVICE_0, true));
		vtd_stop();
	}
}

static bool bring_up(const void *dmar, size_t size, struct iommu_options options)
{
	told[0] = 0;
	memset(iommu_units, 0, sizeof(iommu_units));
	memset(&iommu_common, 0, sizeof(iommu_common));
	iommu_nr_units = 0;
	vtd_set_reg64(&vtd_units[0], IQH_REG, 0);
	vtd_set_reg64(&vtd_units[0], IQT_REG, 0);
	return !iommu_init(dmar, size, &options);
}

/* A table with one unit that has all devices. */
static size_t small_dmar(u8 *table)
{
	const u64 base = MACHINE_REGS;

	memset(table, 0, 64);
	table[36] = 47;
	table[48 + 2] = 16;
	table[48 + 4] = 1;
	memcpy(&table[48 + 8], &base, 8);
	return 64;
}

static void options(void **state)
{
	u8 dmar[64];
	size_t size = small_dmar(dmar);

	(void)state;
	assert_true(vtd_start(&plain));
	assert_false(bring_up(NULL, 0, (struct iommu_options){ 0 }));
	assert_non_null(strstr(iommu_why_absent(), "no DMAR table"));
	assert_false(bring_up(dmar, size, (struct iommu_options){ .off = true }));
	assert_non_null(strstr(iommu_why_absent(), "iommu=off"));
	assert_true(bring_up(dmar, size, (struct iommu_options){ .no_intremap = true }));
	assert_non_null(strstr(iommu_why_absent(), "iommu=nointremap"));
	assert_non_null(iommu_why_not(VTD_DEVICE_0, true));
	assert_false(bring_up(dmar, 50, (struct iommu_options){ 0 }));
	/* As the firmware left it: translation on already, which must go off before the tables change. */
	vtd_set_reg32(&vtd_units[0], GSTS_REG, (u32)(GCMD_TE | GCMD_QIE | GCMD_IRE | GCMD_CFI));
	vtd_set_reg64(&vtd_units[0], CAP_REG, vtd_reg64(&vtd_units[0], CAP_REG) | CAP_PLMR | CAP_PHMR);
	vtd_set_reg32(&vtd_units[0], PMEN_REG, (u32)(PMEN_EPM | PMEN_PRS));
	assert_true(bring_up(dmar, size, (struct iommu_options){ 0 }));
	assert_null(iommu_why_absent());
	assert_true(vtd_reg32(&vtd_units[0], GSTS_REG) & GCMD_TE);
	/* Nor may messages in the old format pass, or memory stay protected that nobody protects any more. */
	assert_true(vtd_reg32(&vtd_units[0], GSTS_REG) & GCMD_IRE);
	assert_false(vtd_reg32(&vtd_units[0], GSTS_REG) & GCMD_CFI);
	assert_int_equal(vtd_reg32(&vtd_units[0], PMEN_REG), 0);
	assert_null(iommu_why_not(VTD_DEVICE_1, false));
	assert_non_null(iommu_why_not((struct pci_id){ 9, 0x18 }, false)); /* no unit has that segment */
	/* Nobody gets the registers themselves, not by a byte. */
	assert_true(iommu_overlaps(MACHINE_REGS + 2 * PAGE_SIZE - 1, MACHINE_REGS + 0xffff));
	assert_true(iommu_overlaps(0, MACHINE_REGS));
	assert_true(iommu_overlaps(MACHINE_REGS + 8, MACHINE_REGS + 8));
	assert_false(iommu_overlaps(0, MACHINE_REGS - 1));
	assert_false(iommu_overlaps(MACHINE_REGS + 2 * PAGE_SIZE, ~0UL));
	vtd_stop();
}

static void without_interrupt_remapping(void **state)
{
	static const struct vtd_config no_ir = { .ecap_clear = ECAP_IR };
	struct iommu_irte e;

	(void)state;
	assert_true(vtd_start(&no_ir));
	assert_non_null(strstr(iommu_why_absent(), "no interrupt remapping"));
	assert_int_equal(iommu_irte_alloc(&e, VTD_DEVICE_0), -ENODEV);
	assert_false(e.valid);
	vtd_stop();
}

/* Messages for units that can use the high half of an APIC id, and for others. */
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

static unsigned int failing, asked;

static bool fail_nth(unsigned int order)
{
	(void)order;
	return asked++ == failing;
}

/* Whatever allocation of the start fails, what works works, and what does not is not given away. */
static void no_memory_at_the_start(void **state)
{
	bool all = false;

	(void)state;
	for (failing = 0; !all && failing < 100; failing++) {
		u8 dmar[64];
		size_t size = small_dmar(dmar);
		bool up;

		assert_true(vtd_start(&plain));
		asked = 0;
		alloc_fail_hook = fail_nth;
		up = bring_up(dmar, size, (struct iommu_options){ 0 });
		alloc_fail_hook = NULL;
		all = asked <= failing;
		assert_int_equal(up, all);
		if (!up) {
			assert_true(told[0]);
			assert_non_null(iommu_why_not(VTD_DEVICE_0, false));
		}
		vtd_stop();
	}
	assert_true(all && failing > 4);
}

/* The same for a domain with a device: nothing is left behind, and the next try succeeds. */
static void no_memory_for_a_domain(void **state)
{
	unsigned int done = 0;

	(void)state;
	for (failing = 0; done < 3 && failing < 200; failing++) {
		struct weir_unit_stats u;
		int ret;

		assert_true(vtd_start(&plain));
		assert_int_equal(frame_set(VTD_RAM_FIRST, ORDER_1G, FRAME_RAM, OWNER), 0);
		assert_int_equal(frame_set(VTD_RAM_FIRST + (1UL << 18), ORDER_1G, FRAME_RAM, OWNER), 0);
		asked = 0;
		alloc_fail_hook = fail_nth;
		ret = iommu_domain_create(&d, OWNER, "test", wake, NULL);
		if (!ret)
			ret = iommu_attach(d, VTD_DEVICE_0, 0);
		else
			d = NULL;
		if (!ret)
			ret = map(77, VTD_RAM_FIRST + 1, 2000);
		alloc_fail_hook = NULL;
		done += !ret;
		assert_true(!ret || ret == -ENOMEM);
		vtd_settle();
		if (!d)
			assert_int_equal(iommu_domain_create(&d, OWNER, "test", wake, NULL), 0);
		if (iommu_device_state(VTD_DEVICE_0) == IOMMU_DEVICE_FREE)
			assert_int_equal(iommu_attach(d, VTD_DEVICE_0, 0), 0);
		if (ret)
			assert_int_equal(map(77, VTD_RAM_FIRST + 1, 2000), 0);
		assert_true(iommu_unit_stats(0, &u));
		assert_int_equal(u.devices, 1);
		assert_false(iommu_unit_stats(7, &u));
		vtd_settle();
		finish(false);
	}
	assert_int_equal(done, 3);
}

static void tables_that_are_full(void **state)
{
	static struct iommu_domain *all[MAX_IOMMU_DOMAINS];
	static bool ended;
	int n;

	(void)state;
	(void)ended;
	start(&plain, false);
	for (n = 0; n < MAX_IOMMU_DOMAINS - 1; n++)
		assert_int_equal(iommu_domain_create(&all[n], (u16)(OWNER + 1 + n), "more", wake, NULL),
				 0);
	told[0] = 0;
	assert_int_equal(iommu_domain_create(&all[n], 99, "one too many", wake, NULL), -ENOSPC);
	assert_non_null(strstr(told, "MAX_IOMMU_DOMAINS"));
	for (n = 0; n < MAX_IOMMU_DOMAINS - 1; n++)
		iommu_domain_destroy(all[n], mark_gone, NULL);
	vtd_settle();
	finish(false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cannot_be_used),
		cmocka_unit_test(options),
		cmocka_unit_test(without_interrupt_remapping),
		cmocka_unit_test(what_is_said),
		cmocka_unit_test(no_memory_at_the_start),
		cmocka_unit_test(no_memory_for_a_domain),
		cmocka_unit_test(tables_that_are_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
