/* Interrupt vectors are shared fairly: a function with many of them does not take what others need.
 *
 * sources: $(VPCI_SRCS)
 */
#include <tests/unit/vpci_machine.h>

#include <kernel/guest/devices/pci/virqquota.h>

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

/* A device has more vectors than one may use: the guest sees fewer, the others stay masked, and
 * their entries are not reached through the table's pages. */
static void a_guest_sees_what_it_gets(void **state)
{
	const u32 seen = IOMMU_IRTES - 1; /* and one for MSI */
	u64 table = cfg_read(3, 0x1c, 4);

	(void)state;
	assert_int_equal(cfg_read(3, CAP_MSIX_AT + 2, 2) & 0x7ff, seen - 1);
	cfg_write(3, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_BUS_MASTER);
	cfg_write(3, CAP_MSIX_AT + 2, 2, 0x8000);
	for (u32 i = 0; i < MSIX_VECTORS_MANY; i++) {
		mem_write(table + 16 * i, 4, 0xfee00000);
		mem_write(table + 16 * i + 8, 4, 0x41);
		mem_write(table + 16 * i + 12, 4, 0);
		assert_int_equal(mem_read(table + 16 * i + 12, 4), i >= seen);
		assert_int_equal(bar3[16 * i + 12], i >= seen);
		assert_int_equal(mem_read(table + 16 * i, 8), i < seen ? 0xfee00000 : 0);
	}
	assert_int_equal(irqs, seen);
	check_device();
	irq_handler[0x30 + seen - 1](irq_arg[0x30 + seen - 1]);
	assert_int_equal(delivered_vector, 0x41);
	/* The last one is latched and shown, and no other. */
	mem_write(table + 16 * (seen - 1) + 12, 4, 1);
	irq_handler[0x30 + seen - 1](irq_arg[0x30 + seen - 1]);
	assert_int_equal(mem_read(table + 0x2000, 8), BIT(seen - 1));
	assert_int_equal(mem_read(table + 0x2008, 8), 0);
	/* MSI has its own. */
	cfg_write(3, CAP_MSIX_AT + 2, 2, 0);
	cfg_write(3, CAP_MSI_AT + 4, 4, 0xfee01000);
	cfg_write(3, CAP_MSI_AT + 12, 2, 0x61);
	cfg_write(3, CAP_MSI_AT + 2, 2, 1);
	irq_handler[0x30 + seen](irq_arg[0x30 + seen]);
	assert_int_equal(delivered_vector, 0x61);
	check_device();
}

/* What a CPU cannot give is refused to the one who asks, who is told what would help. */
static void refused_in_words(void **state)
{
	(void)state;
	assert_int_equal(assign_take(&device), 0);
	fire();
	said[0] = 0;
	vectors_of_a_cpu = 1; /* MSI and MSI-X need one each */
	assert_int_equal(assign_start(&dom, &device, 0), 0);
	fire();
	check_free();
	check_said("domain net0: device 00:03.0: CPU 0 has no interrupt vectors left for it");
	check_said("cpu=");
	said[0] = 0;
	vectors_of_a_cpu = 4;
	assert_int_equal(assign_start(&dom, &device, 0), 0);
	fire();
	assert_int_equal(device.state, PCI_ATTACHED);
	check_said("device 00:03.0: its guest sees 3 of its 5 MSI-X vectors");
	assert_int_equal(cfg_read(3, CAP_MSIX_AT + 2, 2) & 0x7ff, 2);
	vectors_of_a_cpu = 176;
}

#define FUNCTIONS 63
#define CPUS 3

static struct vcpu some_vcpus[CPUS + 1];
static struct domain some[CPUS + 1]; /* on one CPU each; the last one is on all, and twice on one */
static struct pci_device functions[FUNCTIONS];
static struct vfunction records[FUNCTIONS];

static void make_domains(void)
{
	for (u32 i = 0; i <= CPUS; i++) {
		some_vcpus[i].tlb.cpu = i % CPUS;
		some[i].vm.nr_vcpus = i < CPUS ? 1 : CPUS + 1;
		for (u32 k = 0; k < some[i].vm.nr_vcpus; k++)
			some[i].vm.vcpu[k] = &some_vcpus[i < CPUS ? i : k];
	}
}

/* Functions come and go, in any number and order, to any CPU, and each wants as much as it can get:
 * no CPU promises more than it has, and each function gets its share, whoever came before. */
static void everybody_gets_a_share(void **state)
{
	u32 cpu, used[CPUS];

	(void)state;
	make_domains();
	srand(4711);
	for (u32 round = 0; round < 400; round++) {
		u32 nr = 1 + (u32)rand() % 63, share; /* and the device of the other tests */

		share = MIN(8u, 176 / (nr + 1) / 2);
		share = MAX(2u, share);
		others = functions;
		nr_others = nr;
		for (u32 i = 0; i < nr; i++) {
			functions[i] = (struct pci_device){ .msix = 0x40, .class = 0x0200 };
			records[i] = (struct vfunction){ .dev = &functions[i] };
		}
		for (u32 step = 0; step < 300; step++) {
			struct vfunction *f = &records[(u32)rand() % nr];
			u32 want = 1 + (u32)rand() % IOMMU_IRTES;

			if (f->reserved) {
				virqquota_release(f);
				f->dev->state = PCI_FREE;
			} else {
				f->domain = &some[(u32)rand() % (CPUS + 1)];
				f->dev->state = PCI_ATTACHING;
				assert_int_equal(virqquota_reserve(f, 1, want, &cpu), 0);
				assert_in_range(f->reserved, MIN(want, share), want);
			}
			memset(used, 0, sizeof(used));
			for (u32 i = 0; i < nr; i++)
				for (u32 c = 0; c < CPUS; c++)
					if (records[i].reserved &&
					    (records[i].domain == &some[c] ||
					     records[i].domain == &some[CPUS]))
						used[c] += records[i].reserved;
			for (u32 c = 0; c < CPUS; c++)
				assert_in_range(used[c], 0, 176);
		}
		for (u32 i = 0; i < nr; i++)
			if (records[i].reserved)
				virqquota_release(&records[i]);
	}
	/* One alone gets all that one may have. */
	nr_others = 1;
	records[0].domain = &some[CPUS];
	assert_int_equal(virqquota_reserve(&records[0], 1, IOMMU_IRTES, &cpu), 0);
	assert_int_equal(records[0].reserved, IOMMU_IRTES);
	virqquota_release(&records[0]);
	nr_others = 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_guest_sees_what_it_gets, setup_many_vectors,
						teardown_many_vectors),
		cmocka_unit_test_setup_teardown(refused_in_words, setup, teardown),
		cmocka_unit_test(everybody_gets_a_share),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
