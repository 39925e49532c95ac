/* A guest makes its network device read unmapped addresses as fast as it can: Weir quarantines the
 * device and sends an event. Then the control domain detaches the device and attaches it again; or,
 * with the group "burst", the guest tries for a while more and ends. */
#include <tests/guests/guest.h>
#include <tests/guests/nic.h>
#include <tests/guests/pci.h>

#include <kernel/abi/hypercall.h>

#define DESCRIPTORS 256u
#define NOWHERE 0x40000000u

#define VECTOR 0x62

static u32 slot;

static bool find(void)
{
	slot = config_find(NIC_ID);
	return slot;
}

static u64 faults(void)
{
	static struct weir_stats stats __aligned(PAGE_SIZE);

	(void)hypercall(WEIR_HC_STATS, (u64)&stats, sizeof(stats), 0);
	return stats.io_faults;
}

static void sleep_until(u64 event)
{
	u64 events = 0;

	while (!(events & event)) {
		u32 before = taken[VECTOR];

		events |= (u64)hypercall(WEIR_HC_EVENTS, 0, 0, 0);
		if (events & event)
			break;
		interrupts_off();
		if (taken[VECTOR] == before)
			interrupts_on_and_halt();
		else
			interrupts_on();
	}
}

void test_flood(void)
{
	volatile u8 *nic;
	u32 tail = 0;
	u64 events, before, end;

	if (!find()) {
		lacks("flood: needs a network device (pci=)");
		return;
	}
	nic = config_bar(slot, 0);
	config_write(slot, PCI_COMMAND, COMMAND_ON);
	CHECK_EQ("flood: vector", hypercall(WEIR_HC_EVENT_VECTOR, VECTOR, 0, 0), 0);
	interrupts_on();

	nic_transmit(nic, NOWHERE, DESCRIPTORS);
	spin_us(4000000);
	print("flood: begins\n");
	while (!taken[VECTOR]) {
		tail = (tail + 1) % DESCRIPTORS;
		*(volatile u32 *)(nic + TDT) = tail;
	}
	events = (u64)hypercall(WEIR_HC_EVENTS, 0, 0, 0);
	CHECK_EQ("flood: quarantined", events, WEIR_EVENT_QUARANTINED);

	before = faults();
	print("flood: goes on\n");
	end = rdtsc_ordered() + 4000UL * tsc_khz;
	while (rdtsc_ordered() < end) {
		config_write(slot, PCI_COMMAND, COMMAND_ON);
		tail = (tail + 1) % DESCRIPTORS;
		*(volatile u32 *)(nic + TDT) = tail;
		spin_us(20);
	}
	print("flood: gives up\n");
	/* One may have been in flight. */
	CHECK("flood: no more faults", faults() <= before + 1);

	sleep_until(WEIR_EVENT_DEVICES);
	CHECK_EQ("flood: taken away", config_read(slot, PCI_VENDOR_ID), 0xffffffff);
	/* Its registers are gone. */
	CHECK_EQ("flood: no registers", *(volatile u32 *)(nic + TCTL), 0xffffffff);
	sleep_until(WEIR_EVENT_DEVICES);
	CHECK("flood: given back", find());
	CHECK_EQ("flood: the command register is clear", config_read(slot, PCI_COMMAND) & 0xffff,
		 0);
	(void)hypercall(WEIR_HC_EVENT_VECTOR, 0, 0, 0);
	interrupts_off();
}

#define BURST_AFTER 2000u /* writes of TDT to a device that is quarantined */

void test_burst(void)
{
	volatile u8 *nic;
	u32 tail = 0, left = BURST_AFTER;
	u64 seen;

	if (!find()) {
		lacks("burst: needs a network device (pci=)");
		return;
	}
	nic = config_bar(slot, 0);
	config_write(slot, PCI_COMMAND, COMMAND_ON);
	nic_transmit(nic, NOWHERE, DESCRIPTORS);
	print("burst: begins\n");
	while (left) {
		tail = (tail + 1) % DESCRIPTORS;
		*(volatile u32 *)(nic + TDT) = tail;
		if (hypercall(WEIR_HC_EVENTS, 0, 0, 0) & WEIR_EVENT_QUARANTINED ||
		    left < BURST_AFTER)
			left--;
	}
	seen = faults();
	print("burst: %lu faults\n", seen);
	CHECK("burst: until the device was quarantined", seen >= 1000);
}
