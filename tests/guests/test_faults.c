/* A guest makes its NIC read unmapped addresses, but not often enough to be quarantined (see
 * test_flood.c): ten thousand faults, each of which interrupts the guest that is running. Logged
 * one by one, they would fill the log, and a CPU that writes it by polling would have no time for
 * guests. tests/system/test_hostile.py watches the guest that runs there. */
#include <tests/guests/nic.h>
#include <tests/guests/pci.h>

#include <kernel/abi/hypercall.h>

#define DESCRIPTORS 256u
#define NOWHERE 0x40000000u
#define FAULTS 10000u
/* At most twice as many fall into one of the seconds that Weir counts, and it quarantines the
 * device above 1000. */
#define PER_SECOND 450

static struct weir_stats stats __aligned(PAGE_SIZE);

static void read_stats(void)
{
	(void)hypercall(WEIR_HC_STATS, (u64)&stats, sizeof(stats), 0);
}

void test_faults(void)
{
	u32 slot = under_weir ? config_find(NIC_ID) : 0, tail = 0;
	volatile u8 *nic;
	u64 end;

	if (!slot) {
		lacks("faults: needs a network device (pci=)");
		return;
	}
	nic = config_bar(slot, 0);
	config_write(slot, PCI_COMMAND, COMMAND_ON);
	spin_us(5000000);
	print("faults: begin\n");
	nic_transmit(nic, NOWHERE, DESCRIPTORS);
	end = rdtsc_ordered() + 150000UL * tsc_khz;
	do {
		u64 second = rdtsc_ordered() + 1000UL * tsc_khz, before = stats.io_faults;

		while (rdtsc_ordered() < second) {
			for (u32 i = 0; i < 8 && stats.io_faults < before + PER_SECOND; i++) {
				tail = (tail + 1) % DESCRIPTORS;
				*(volatile u32 *)(nic + TDT) = tail;
				spin_us(100);
			}
			read_stats();
		}
	} while (stats.io_faults < FAULTS && !stats.devices_quarantined && rdtsc_ordered() < end);
	print("faults: end\n");
	*(volatile u32 *)(nic + TCTL) = 0;
	CHECK("faults: ten thousand", stats.io_faults >= FAULTS);
	print("faults: %lu\n", stats.io_faults);
	CHECK_EQ("faults: too slow for a flood", stats.devices_quarantined, 0);
}
