/* A guest makes its device interrupt without end, on a CPU where the guest itself does not run:
 * each interrupt causes an exit of the guest that runs there. Without a limit that CPU would do
 * little else (tests/system/test_hostile.py watches the guest there). This guest has two vCPUs; the
 * interrupts are for the second one, on the other CPU. Uses edu's MSI, or the MSI-X of a NIC. */
#include <tests/guests/edu.h>
#include <tests/guests/nic.h>
#include <tests/guests/pci.h>

#include <kernel/abi/hypercall.h>

#define EVENT_VECTOR 0x63
#define DEVICE_VECTOR 0x64
#define TO_VCPU_1 (MSI_ADDRESS | 1u << 12)
#define TO_VCPU_0 MSI_ADDRESS
#define SECONDS 5

static struct weir_stats stats __aligned(PAGE_SIZE);

static volatile u8 *nic; /* NULL: edu */
static volatile struct pci_msix_entry *table;
static u32 slot;

static bool find(void)
{
	if (edu_find())
		return true;
	slot = config_find(NIC_ID);
	if (!slot)
		return false;
	nic = config_bar(slot, 0);
	table = (volatile struct pci_msix_entry *)config_bar(slot, 3);
	config_write(slot, PCI_COMMAND, COMMAND_ON);
	config_write(slot, config_capability(slot, PCI_CAP_MSIX), (u32)PCI_MSIX_ENABLE << 16);
	return true;
}

static void route(u64 address)
{
	if (nic)
		nic_msix(nic, table, address, DEVICE_VECTOR);
	else
		edu_msi(address, DEVICE_VECTOR);
}

static void raise(void)
{
	if (nic)
		nic_raise(nic);
	else
		edu_raise();
}

static void silence(void)
{
	if (nic)
		config_write(slot, config_capability(slot, PCI_CAP_MSIX), 0);
	else
		edu_msi_off();
}

static void read_stats(void)
{
	(void)hypercall(WEIR_HC_STATS, (u64)&stats, sizeof(stats), 0);
}

void test_storm(void)
{
	u64 end, raised = 0, began, delivered, windows, lost = 0;

	if (!under_weir || !find()) {
		lacks("storm: needs an edu or network device (pci=)");
		return;
	}
	CHECK_EQ("storm: vector", hypercall(WEIR_HC_EVENT_VECTOR, EVENT_VECTOR, 0, 0), 0);
	interrupts_on();
	route(TO_VCPU_1);

	read_stats();
	delivered = stats.interrupts_delivered;
	began = stats.uptime_ns;
	print("storm: begins\n");
	end = rdtsc_ordered() + SECONDS * 1000UL * tsc_khz;
	while (rdtsc_ordered() < end ||
	       (!taken[EVENT_VECTOR] && rdtsc_ordered() < end + 20000UL * tsc_khz)) {
		for (u32 i = 0; i < 100; i++)
			raise();
		raised += 100;
	}
	read_stats();
	print("storm: ends\n");
	delivered = stats.interrupts_delivered - delivered;
	windows = (stats.uptime_ns - began) / 10000000;
	print("storm: %lu raised, %lu delivered, %lu pauses in %lu windows\n", raised, delivered,
	      stats.interrupt_pauses, windows);
	CHECK("storm: told by an event",
	      taken[EVENT_VECTOR] && hypercall(WEIR_HC_EVENTS, 0, 0, 0) & WEIR_EVENT_STORM);

	/* Single interrupts still arrive. A pause may add some, in place of those that MSI cannot
	 * keep pending, but none is lost. */
	route(TO_VCPU_0);
	for (u32 i = 0; i < 100; i++) {
		u32 before = taken[DEVICE_VECTOR];

		raise();
		for (u32 ms = 0; ms < 1000 && taken[DEVICE_VECTOR] == before; ms++)
			spin_us(1000);
		lost += taken[DEVICE_VECTOR] == before;
	}
	CHECK_EQ("storm: no single interrupt is lost after it", lost, 0);
	silence();
	(void)hypercall(WEIR_HC_EVENT_VECTOR, 0, 0, 0);
	interrupts_off();
}
