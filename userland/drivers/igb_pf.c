/* Driver for the physical function. Virtual functions send it messages through a mailbox: a virtual
 * function writes a message into 16 words and sets REQ; the physical function claims the buffer
 * (PFU), copies it, acknowledges, writes the answer and sets STS. Guests write these messages, so
 * they are copied before they are checked, and can change only how the sender's own frames are
 * handled.
 */
#include <userland/drivers/igb_pf.h>

#include <stdio.h>
#include <string.h>
#include <kernel/lib/string.h>
#include <userland/drivers/igb_regs.h>
#include <userland/runtime/mmio.h>

#define RESET_STEP_US 10
#define RESET_TRIES 1000
#define LONGEST_FRAME 1522 /* with a VLAN tag */
#define MULTICASTS 30 /* as many as fit into a message */

struct function {
	u8 mac[6];
	u32 multicasts;
	u16 multicast[MULTICASTS]; /* the 12 bits of an address that the hardware compares */
};

static struct {
	struct pci_device pci;
	char name[32];
	volatile void *regs;
	u8 vector; /* 0: none yet */
	u32 nr;
	u8 mac[6];
	struct function vf[IGB_MAX_VF];
} pf;

static u32 reg_read(u32 reg)
{
	return mmio_read32((const volatile u8 *)pf.regs + reg);
}

static void reg_write(u32 reg, u64 value)
{
	mmio_write32((volatile u8 *)pf.regs + reg, (u32)value);
}

/* --- what a virtual function may send and receive ------------------------- */

static void write_mac(u32 n)
{
	const u8 *m = pf.vf[n].mac;

	/* Entry 0 belongs to the physical function, which receives nothing. */
	reg_write(IGB_RAL(n + 1), m[0] | (u32)m[1] << 8 | (u32)m[2] << 16 | (u32)m[3] << 24);
	reg_write(IGB_RAH(n + 1), RAH_AV | RAH_POOL(n) | m[4] | (u32)m[5] << 8);
}

static void write_multicasts(void)
{
	u32 word[IGB_MTA_WORDS] = { 0 };

	for (u32 n = 0; n < pf.nr; n++)
		for (u32 i = 0; i < pf.vf[n].multicasts; i++)
			word[pf.vf[n].multicast[i] >> 5] |= 1u << (pf.vf[n].multicast[i] & 31);
	for (u32 i = 0; i < IGB_MTA_WORDS; i++)
		reg_write(IGB_MTA + 4 * i, word[i]);
}

/* Set up a virtual function as after its reset. Its queues are off until its driver enables
 * them. */
static void begin(u32 n)
{
	struct function *f = &pf.vf[n];

	/* The physical function's address, marked as locally administered, with the number n. */
	memcpy(f->mac, pf.mac, sizeof(f->mac));
	f->mac[0] |= 2;
	f->mac[1] ^= (u8)(0x80 | n);
	f->multicasts = 0;
	write_mac(n);
	write_multicasts();
	reg_write(IGB_VMOLR(n), VMOLR_AUPE | VMOLR_BAM);
	reg_write(IGB_VFTE, reg_read(IGB_VFTE) | BIT(n));
	reg_write(IGB_VFRE, reg_read(IGB_VFRE) | BIT(n));
}

/* --- messages ------------------------------------------------------------- */

static bool set_mac(u32 n, const u8 mac[6])
{
	static const u8 none[6];

	if ((mac[0] & 1) || !memcmp(mac, none, 6) || !memcmp(mac, pf.mac, 6))
		return false;
	for (u32 i = 0; i < pf.nr; i++)
		if (i != n && !memcmp(mac, pf.vf[i].mac, 6))
			return false;
	memcpy(pf.vf[n].mac, mac, 6);
	write_mac(n);
	return true;
}

static bool set_multicasts(u32 n, const u32 *word, u32 nr)
{
	struct function *f = &pf.vf[n];

	if (nr > MULTICASTS)
		return false;
	for (u32 i = 0; i < nr; i++)
		f->multicast[i] = (word[i / 2] >> (16 * (i % 2))) & 0xfff;
	f->multicasts = nr;
	write_multicasts();
	reg_write(IGB_VMOLR(n), VMOLR_AUPE | VMOLR_BAM | VMOLR_ROMPE);
	return true;
}

/* True if the request is granted. Longer frames, additional addresses and VLANs are not. */
static bool execute(u32 n, const u32 message[MESSAGE_WORDS])
{
	u32 info = (u32)FIELD_GET(MESSAGE_INFO, (u64)message[0]);

	switch (message[0] & MESSAGE_KIND) {
	case VF_SET_MAC:
		return info ? info == MAC_FILTERS_CLEAR : set_mac(n, (const u8 *)&message[1]);
	case VF_SET_MULTICAST:
		return set_multicasts(n, &message[1], info);
	case VF_SET_LPE:
		return message[1] <= LONGEST_FRAME;
	case VF_SET_VLAN:
		return !info || !message[1]; /* removal; frames without a tag */
	default:
		return false;
	}
}

/* Claim the mailbox until the next write to its register; false: the guest holds it. */
static bool take_mailbox(u32 n)
{
	reg_write(IGB_P2VMAILBOX(n), P2V_PFU);
	return reg_read(IGB_P2VMAILBOX(n)) & P2V_PFU;
}

static void answer(u32 n, const u32 *word, u32 nr)
{
	if (!take_mailbox(n))
		return;
	for (u32 i = 0; i < nr; i++)
		reg_write(IGB_VMBMEM(n) + 4 * i, word[i]);
	reg_write(IGB_P2VMAILBOX(n), P2V_STS);
}

static void take_message(u32 n)
{
	u32 message[MESSAGE_WORDS], reply[3] = { 0 };
	bool good;

	if (!take_mailbox(n))
		return;
	for (u32 i = 0; i < MESSAGE_WORDS; i++)
		message[i] = reg_read(IGB_VMBMEM(n) + 4 * i);
	reg_write(IGB_P2VMAILBOX(n), P2V_ACK);
	if (message[0] & (MESSAGE_ACK | MESSAGE_NACK)) /* an answer of our own */
		return;
	if ((message[0] & MESSAGE_KIND) == VF_RESET) {
		begin(n);
		reply[0] = VF_RESET | (u32)MESSAGE_ACK;
		memcpy(&reply[1], pf.vf[n].mac, 6);
		answer(n, reply, 3);
		return;
	}
	good = execute(n, message);
	reply[0] = message[0] | (u32)MESSAGE_CTS | (u32)(good ? MESSAGE_ACK : MESSAGE_NACK);
	answer(n, reply, 1);
}

static void interrupt(void *ctx)
{
	u32 gone, mail;

	(void)ctx;
	(void)reg_read(IGB_ICR); /* clears it: later causes raise a new interrupt */
	gone = reg_read(IGB_VFLRE);
	reg_write(IGB_VFLRE, gone);
	mail = reg_read(IGB_MBVFICR);
	reg_write(IGB_MBVFICR, mail);
	for (u32 n = 0; n < pf.nr; n++)
		if (gone & BIT(n))
			begin(n);
	/* Functions that were reset wait for this; others ignore it. */
	if (gone)
		reg_write(IGB_CTRL_EXT, reg_read(IGB_CTRL_EXT) | CTRL_EXT_PFRSTD);
	for (u32 n = 0; n < pf.nr; n++)
		if (mail & MBVFICR_REQUEST(n))
			take_message(n);
}

/* --- start ---------------------------------------------------------------- */

static bool wait_clear(u32 reg, u64 bits)
{
	for (u32 i = 0; i < RESET_TRIES; i++) {
		if (!(reg_read(reg) & bits))
			return true;
		delay_us(RESET_STEP_US);
	}
	return false;
}

static bool reset(void)
{
	reg_write(IGB_IMC, ~0u);
	reg_write(IGB_EIMC, ~0u);
	reg_write(IGB_RCTL, 0);
	reg_write(IGB_TCTL, TCTL_PSP);
	reg_write(IGB_CTRL, reg_read(IGB_CTRL) | CTRL_GIO_MASTER_DISABLE);
	(void)wait_clear(IGB_STATUS, STATUS_GIO_MASTER_ENABLE);
	reg_write(IGB_CTRL, reg_read(IGB_CTRL) | CTRL_RST);
	delay_us(1000);
	if (!wait_clear(IGB_CTRL, CTRL_RST))
		return false;
	reg_write(IGB_IMC, ~0u);
	reg_write(IGB_EIMC, ~0u);
	(void)reg_read(IGB_ICR);
	reg_write(IGB_CTRL, (reg_read(IGB_CTRL) | CTRL_SLU) & ~CTRL_GIO_MASTER_DISABLE);
	return true;
}

/* The PHY negotiates the link's speed by itself; virtual functions see the result in their own
 * STATUS. */
static void start_link(void)
{
	reg_write(IGB_MDIC, MDIC_WRITE | MDIC_PHY(1) | MDIC_REGISTER(PHY_CONTROL) |
				    PHY_CONTROL_AUTO | PHY_CONTROL_RESTART);
	for (u32 i = 0; i < RESET_TRIES && !(reg_read(IGB_MDIC) & MDIC_READY); i++)
		delay_us(RESET_STEP_US);
}

/* The MAC address, which the device has loaded from its NVM. */
static bool read_mac(void)
{
	u32 low = reg_read(IGB_RAL(0)), high = reg_read(IGB_RAH(0));

	memcpy(pf.mac, &low, 4);
	memcpy(pf.mac + 4, &high, 2);
	return (high & RAH_AV) && !(pf.mac[0] & 1) && (low || (high & 0xffff));
}

/* Each frame goes to the functions that its destination address belongs to, and to no others;
 * frames between virtual functions included. No function may send with another's source address. A
 * function without free buffers does not block the others. */
static void switch_frames(void)
{
	u64 check = DTXSWC_LOOPBACK;

	for (u32 n = 0; n < pf.nr; n++)
		check |= DTXSWC_CHECK_MAC(n);
	reg_write(IGB_MRQC, MRQC_VMDQ);
	reg_write(IGB_VT_CTL, VT_CTL_NO_DEFAULT | VT_CTL_REPLICATE);
	reg_write(IGB_DTXSWC, check);
	reg_write(IGB_QDE, 0xffff);
	for (u32 n = 0; n < pf.nr; n++)
		begin(n);
	reg_write(IGB_RCTL, RCTL_EN | RCTL_SECRC);
	reg_write(IGB_TCTL, TCTL_EN | TCTL_PSP | TCTL_CT(15) | TCTL_COLD(63));
}

static void start_interrupts(volatile struct pci_msix_entry *table)
{
	if (!pf.vector)
		pf.vector = interrupt_allocate(interrupt, NULL);
	pci_msix_set(table, 0, pf.vector);
	pci_msix_enable(&pf.pci);
	reg_write(IGB_GPIE, GPIE_MSIX | GPIE_NSICR | GPIE_PBA);
	reg_write(IGB_IVAR_MISC, IVAR_OTHER(0));
	reg_write(IGB_EIAC, BIT(0));
	reg_write(IGB_EIMS, BIT(0));
	reg_write(IGB_MBVFIMR, MASK(IGB_MAX_VF - 1, 0));
	reg_write(IGB_IMS, INT_VMMB);
}

static const char *start(void)
{
	static const u32 begin_again = (u32)MESSAGE_NACK | PF_CONTROL;
	u64 bar = pci_bar(&pf.pci, 0);
	volatile struct pci_msix_entry *table;

	if (!bar)
		return "BAR 0 has no address";
	if (!pci_msix_table(&pf.pci, &table))
		return "no MSI-X";
	pci_write16(&pf.pci, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_INTX_DISABLE);
	pf.regs = (volatile void *)bar;
	if (!(reg_read(IGB_STATUS) & STATUS_IOV))
		return "virtual functions are off; enable them with sriov= on Weir's command line";
	pf.nr = MIN((u32)FIELD_GET(STATUS_NUM_VFS, (u64)reg_read(IGB_STATUS)), (u32)IGB_MAX_VF);
	if (!reset())
		return "its reset does not complete";
	if (!read_mac())
		return "no usable Ethernet address in its NVM";
	/* Its interrupts and the virtual functions' frames need bus mastering. */
	pci_write16(&pf.pci, PCI_COMMAND,
		    PCI_COMMAND_MEMORY | PCI_COMMAND_BUS_MASTER | PCI_COMMAND_INTX_DISABLE);
	start_interrupts(table);
	switch_frames();
	start_link();
	reg_write(IGB_CTRL_EXT, reg_read(IGB_CTRL_EXT) | CTRL_EXT_DRV_LOAD | CTRL_EXT_PFRSTD);
	/* Drivers that were running before the reset start over when they find this in their
	 * mailbox. */
	for (u32 n = 0; n < pf.nr; n++)
		answer(n, &begin_again, 1);
	return NULL;
}

static bool find_idle(const struct pci_device *pci, void *ctx)
{
	(void)ctx;
	if (pci->vendor != IGB_VENDOR || pci->id != IGB_82576 ||
	    (pci_read16(pci, PCI_COMMAND) & PCI_COMMAND_BUS_MASTER))
		return false;
	pf.pci = *pci;
	return true;
}

void igb_pf_probe(void)
{
	const char *why;

	if (!pci_for_each(find_idle, NULL))
		return;
	snprintf(pf.name, sizeof(pf.name), "82576 at %02x:%02x.%x", pf.pci.bus, pf.pci.device,
		 pf.pci.function);
	why = start();
	if (why) {
		print("%s: %s; not used\n", pf.name, why);
		return;
	}
	print("%s: serves %u virtual function%s\n", pf.name, pf.nr, pf.nr == 1 ? "" : "s");
	for (u32 n = 0; n < pf.nr; n++) {
		const u8 *m = pf.vf[n].mac;

		print("%s: virtual function %u has address %02x:%02x:%02x:%02x:%02x:%02x\n",
		      pf.name, n, m[0], m[1], m[2], m[3], m[4], m[5]);
	}
}
