/* A guest writes random values to its NIC's configuration space, BARs and MSI-X table, at every
 * width and offset, while its other vCPU accesses the addresses where the registers were, are and
 * will be. Nothing of that may reach the device: a BAR that really moved could overlap another
 * device, a function-level reset or D3 would happen without Weir's knowledge, and a message in the
 * real table could be any interrupt. tests/system/test_hostile.py reads the real registers
 * meanwhile. */
#include <tests/guests/nic.h>
#include <tests/guests/pci.h>

#include <kernel/abi/hypercall.h>

#define VECTOR 0x66
#define DESCRIPTORS 8u
#define DESCRIPTOR_EOP_RS 0x09000000UL
#define DESCRIPTOR_DONE (1UL << 32)

#define WINDOW 0xe0000000u
#define WINDOW_END 0xfec00000u
#define MSIX_ENABLE ((u32)PCI_MSIX_ENABLE << 16)

static u32 slot;
static u32 bar0, bar3; /* their initial values; BAR 3 has the MSI-X table */
static volatile u32 target[2]; /* where the other vCPU accesses memory */
static volatile bool stop;
static u64 random_state = 0x9e3779b97f4a7c15UL;

static u32 any(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (u32)(random_state >> 16);
}

static volatile u32 *reg(u32 offset)
{
	return (volatile u32 *)(u64)(bar0 + offset);
}

static void write_config(u32 of, u32 at, u32 width, u32 value)
{
	outl(PCI_CONFIG_ADDRESS, (u32)PCI_CONFIG_ENABLE | of << 11 | (at & 0xfc));
	if (width == 1)
		outb((u16)(PCI_CONFIG_DATA + at % 4), (u8)value);
	else if (width == 2)
		outw((u16)(PCI_CONFIG_DATA + at % 4), (u16)value);
	else
		outl((u16)(PCI_CONFIG_DATA + at % 4), value);
}

static u32 interesting(void)
{
	switch (any() % 6) {
	case 0:
		return 0;
	case 1:
		return ~0u;
	case 2:
		return MSI_ADDRESS | (any() & 0xff0fc);
	case 3:
		return WINDOW + (any() % (WINDOW_END - WINDOW) & ~0xfffu);
	case 4: /* RAM, ECAM, the remapping unit, the local APICs */
		return (const u32[]){ 0x100000, 0xb0018000, 0xfed90000, MSI_ADDRESS }[any() % 4];
	default:
		return any();
	}
}

/* Access the device window, where the NIC's registers are, or nothing. Never RAM. */
static void touch(u32 at)
{
	volatile u8 *p = (volatile u8 *)(u64)at;

	if (at < WINDOW || at >= WINDOW_END - 8)
		return;
	switch (any() % 6) {
	case 0:
		(void)*p;
		break;
	case 1:
		(void)*(volatile u16 *)p;
		break;
	case 2:
		(void)*(volatile u64 *)p;
		break;
	case 3:
		*(volatile u64 *)p = (u64)interesting() << 32 | interesting();
		break;
	case 4:
		*p = (u8)any();
		break;
	default:
		*(volatile u32 *)p = interesting();
	}
}

static void hammer(void)
{
	while (!stop) {
		/* The MSI-X table; of the NIC's registers only reads, since writes would really
		 * change them. */
		touch((target[1] & ~0xfu) + any() % 0x60);
		if (target[0] >= WINDOW && target[0] < WINDOW_END - 0x20000)
			(void)*(volatile u32 *)(u64)((target[0] & ~0xfu) + STATUS);
	}
}

static void play(u32 rounds)
{
	for (u32 i = 0; i < rounds; i++) {
		u32 width = 1u << any() % 3, at = any() % 256 & ~(width - 1);

		switch (any() % 8) {
		case 0:
			write_config(slot, PCI_COMMAND, 2, any());
			break;
		case 1:
			write_config(slot, PCI_BAR(0), 4, target[0] = interesting());
			break;
		case 2:
			write_config(slot, PCI_BAR(3), 4, target[1] = interesting());
			break;
		case 3: /* on top of each other */
			write_config(slot, PCI_BAR(3), 4,
				     target[1] = config_read(slot, PCI_BAR(0)) + (any() % 4 << 14));
			break;
		case 4: /* other functions, or absent ones */
			write_config(any() % 32 == slot ? 0 : any() % 8, at, width, interesting());
			break;
		case 5: /* straddles the end of the register */
			outl(PCI_CONFIG_ADDRESS, (u32)PCI_CONFIG_ENABLE | slot << 11 | at);
			outl(0xcfd + any() % 3, interesting());
			break;
		default:
			write_config(slot, at, width, interesting());
		}
	}
}

static void restore(void)
{
	config_write(slot, PCI_COMMAND, 0);
	config_write(slot, PCI_BAR(0), bar0);
	config_write(slot, PCI_BAR(3), bar3);
	config_write(slot, config_capability(slot, PCI_CAP_MSI), 0);
	config_write(slot, config_capability(slot, PCI_CAP_MSIX), 0);
	config_write(slot, config_capability(slot, PCI_CAP_PM) + PCI_PM_CTRL, 0);
	config_write(slot, PCI_COMMAND, COMMAND_ON);
}

/* Send a packet; false if the NIC does not write the descriptor back. */
static bool send_works(void)
{
	static u64 ring[DESCRIPTORS][2] __aligned(PAGE_SIZE);
	static u8 packet[64];

	ring[0][0] = (u64)packet;
	ring[0][1] = sizeof(packet) | DESCRIPTOR_EOP_RS;
	nic_transmit((volatile u8 *)(u64)bar0, (u64)ring, DESCRIPTORS);
	*reg(TDT) = 1;
	for (u32 ms = 0; ms < 1000; ms++) {
		if (*(volatile u64 *)&ring[0][1] & DESCRIPTOR_DONE)
			return true;
		spin_us(1000);
	}
	return false;
}

static bool interrupt_works(void)
{
	volatile struct pci_msix_entry *table = (volatile struct pci_msix_entry *)(u64)bar3;
	u32 before = taken[VECTOR], msix = config_capability(slot, PCI_CAP_MSIX);

	for (u32 i = 0; i < 5; i++)
		table[i].control = PCI_MSIX_ENTRY_MASKED;
	config_write(slot, msix, MSIX_ENABLE);
	interrupts_on();
	nic_msix((volatile u8 *)(u64)bar0, table, MSI_ADDRESS, VECTOR);
	nic_raise((volatile u8 *)(u64)bar0);
	for (u32 ms = 0; ms < 1000 && taken[VECTOR] == before; ms++)
		spin_us(1000);
	interrupts_off();
	*reg(IVAR) = 0;
	config_write(slot, msix, 0);
	return taken[VECTOR] > before;
}

/* A reset would clear the ring's address. (QEMU's NIC has no function-level reset: the test outside
 * checks that the bit does not arrive.) */
static void reset_is_not_offered(void)
{
	u32 pcie = config_capability(slot, PCI_CAP_PCIE), pm = config_capability(slot, PCI_CAP_PM);

	*reg(TDBAL) = 0x123450;
	config_write(slot, pcie + PCI_EXP_DEVCTL, (u32)PCI_EXP_DEVCTL_FLR);
	config_write(slot, pm + PCI_PM_CTRL, PCI_PM_CTRL_STATE_D3HOT);
	CHECK_EQ("config: the power state is remembered",
		 config_read(slot, pm + PCI_PM_CTRL) & PCI_PM_CTRL_STATE, PCI_PM_CTRL_STATE_D3HOT);
	config_write(slot, pm + PCI_PM_CTRL, 0);
	spin_us(200000);
	CHECK_EQ("config: neither a reset nor D3 happened", *reg(TDBAL), 0x123450);
}

static void others_are_not_there(void)
{
	u32 there = 0;

	for (u32 at = 0; at < 32; at++)
		if (at != slot)
			there += config_read(at, PCI_VENDOR_ID) != 0xffffffff;
	CHECK_EQ("config: nothing but the host bridge beside it", there, 1);
}

static void sizes(void)
{
	config_write(slot, PCI_BAR(0), ~0u);
	config_write(slot, PCI_BAR(3), ~0u);
	CHECK_EQ("config: BAR 0 is sized with decoding on", config_read(slot, PCI_BAR(0)),
		 0xfffe0000);
	CHECK_EQ("config: BAR 3 too", config_read(slot, PCI_BAR(3)), 0xffffc000);
	CHECK_EQ("config: nothing is mapped meanwhile", *reg(STATUS), 0xffffffff);
	config_write(slot, PCI_BAR(0), bar0);
	config_write(slot, PCI_BAR(3), bar3);
	CHECK("config: the registers are back", *reg(STATUS) != 0xffffffff);
}

void test_config(void)
{
	u32 bad_ends = 0, dead = 0;

	slot = under_weir ? config_find(NIC_ID) : 0;
	if (!slot) {
		lacks("config: needs a network device (pci=)");
		return;
	}
	bar0 = config_read(slot, PCI_BAR(0));
	bar3 = config_read(slot, PCI_BAR(3));
	restore();
	CHECK("config: the NIC sends", send_works());
	CHECK("config: and interrupts", interrupt_works());
	others_are_not_there();
	sizes();
	reset_is_not_offered();

	target[0] = bar0;
	target[1] = bar3;
	CHECK("config: the other vCPU hammers", smp_start(hammer));
	print("config: games begin\n");
	for (u32 game = 0; game < 30; game++) {
		play(1000);
		/* There is no such capability; the search must end. */
		bad_ends += config_capability(slot, 0xff) != 0;
		restore();
		dead += *reg(STATUS) == 0xffffffff || !send_works();
	}
	stop = true;
	spin_us(10000);
	print("config: games end\n");
	CHECK_EQ("config: the list of capabilities always ends", bad_ends, 0);
	CHECK_EQ("config: the NIC sends between the games", dead, 0);
	restore();
	CHECK("config: it sends after them", send_works());
	CHECK("config: and interrupts", interrupt_works());
}
