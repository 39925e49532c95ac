/* What a guest sees of its device's configuration space, and which devices it may have. Whatever
 * the guest writes, the real device keeps its BARs, sends messages in remappable format only, and
 * is bus master only while that is allowed.
 *
 * sources: $(VPCI_SRCS)
 */
#include <tests/unit/vpci_machine.h>

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

/* Random accesses of every width at every offset, and at every edge of the MSI-X table. The
 * remapping unit answers at once, or later. */
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
		    value = (u32)rand() << 16 ^ (u32)rand(), at;

		unit_is_slow = rand() % 8 ? unit_is_slow : rand() % 2;
		switch (rand() % 9) {
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
			at = rand() % 2 ? (u32)rand() % (16 * MSIX_VECTORS) : (u32)rand() % 0x3000;
			mem_write((cfg_read(3, 0x1c, 4) & ~0xfu) + at, sizes[rand() % 4],
				  rand() % 2 ? value : 0xfee00000 | (value & 0xff0ff));
			break;
		case 7:
			mem_read((cfg_read(3, 0x1c, 4) & ~0xfu) + (u32)(rand() % 0x3000),
				 sizes[rand() % 4]);
			break;
		case 8:
			unit_answers();
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_there, setup, teardown),
		cmocka_unit_test_setup_teardown(capabilities_are_filtered, setup, teardown),
		cmocka_unit_test_setup_teardown(vendor_capability_is_read_only, setup, teardown),
		cmocka_unit_test_setup_teardown(random_accesses, setup_short_msi_with_masks,
						teardown_msi),
		cmocka_unit_test_setup_teardown(random_accesses, setup, teardown),
		cmocka_unit_test_setup_teardown(a_virtual_function_has_an_id, setup, teardown),
		cmocka_unit_test_setup_teardown(refusals, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
