/* What a guest does to the time of others, within what it may do. Each attack prints a line when it
 * begins and when it ends, with how often it did what it does; the bystander's lines (test_watch.c)
 * and Weir's counters show what came of it. The storm of interrupts is in test_storm.c. */
#include <tests/guests/guest.h>
#include <tests/guests/nic.h>
#include <tests/guests/pci.h>

#define VECTOR 0x57
#define PERIOD_NS 20000u
#define INITS 20000u
#define TOGGLES 20000u
#define NVME_ID 0x00101b36u

/* INIT to a vCPU that is offline. If each one interrupted the CPU where that would run, the guest
 * that runs there would be interrupted as often. */
void test_attack_init(void)
{
	spin_us(1500000);
	print("attack: begins\n");
	for (u32 i = 0; i < INITS; i++)
		wrmsr(X2APIC(APIC_ICR), ICR_TO(1) | ICR_INIT | ICR_ASSERT);
	print("attack: ends, %u INITs\n", INITS);
}

static volatile u32 ready;

static void set_a_short_period(void)
{
	wrmsr(X2APIC(APIC_TIMER_DIVIDE), DIVIDE_BY_1);
	wrmsr(X2APIC(APIC_LVT_TIMER), LVT_PERIODIC | VECTOR);
	wrmsr(X2APIC(APIC_TIMER_INITIAL), PERIOD_NS);
	__atomic_fetch_add(&ready, 1, __ATOMIC_SEQ_CST);
	interrupts_on();
	for (;;)
		__asm__ volatile("hlt");
}

/* All vCPUs sleep, and have timers with a short period: 50,000 a second each. While a guest of
 * higher priority runs, none of them may cost it more than one interrupt. Does not end. */
void test_attack_timers(void)
{
	(void)smp_start(set_a_short_period);
	print("attack: begins, %u timers\n", ready + 1);
	set_a_short_period();
}

/* A device with thousands of MSI-X vectors: the guest unmasks as many as it can, and switches MSI-X
 * and the mask of the whole function on and off. */
void test_attack_msix(void)
{
	u32 nvme = config_find(NVME_ID), slot = nvme ? nvme : config_find(NIC_ID), at, vectors;
	volatile struct pci_msix_entry *table;

	if (!slot) {
		lacks("attack: needs an NVMe or network device (pci=)");
		return;
	}
	at = config_capability(slot, PCI_CAP_MSIX);
	vectors = (config_read(slot, at) >> 16 & PCI_MSIX_SIZE) + 1;
	table = (volatile struct pci_msix_entry *)(config_bar(slot, nvme ? 0 : 3) +
						   (config_read(slot, at + PCI_MSIX_TABLE) &
						    ~PCI_MSIX_BIR));
	config_write(slot, PCI_COMMAND, COMMAND_ON);
	for (u32 i = 0; i < vectors; i++) {
		table[i].address = MSI_ADDRESS;
		table[i].address_high = 0;
		table[i].data = VECTOR;
		table[i].control = 0;
	}
	print("attack: begins, %u vectors\n", vectors);
	for (u32 i = 0; i < TOGGLES; i++)
		config_write(slot, at, (i & 3) << 30);
	print("attack: ends, %u switches\n", TOGGLES);
}
