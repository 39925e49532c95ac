/* Registers of the 82576's physical function that the driver for virtual functions uses ("Intel
 * 82576 GbE Controller Datasheet", revision 2.87, chapter 8), and the messages that Intel's drivers
 * for physical and virtual functions exchange. */
#pragma once

#include <kernel/lib/compiler.h>

#define IGB_MAX_VF 8

/* Offset in BAR 0 */
enum igb_register {
	IGB_CTRL = 0x0000,
	IGB_STATUS = 0x0008,
	IGB_CTRL_EXT = 0x0018,
	IGB_MDIC = 0x0020,
	IGB_ICR = 0x00c0,
	IGB_IMS = 0x00d0,
	IGB_IMC = 0x00d8,
	IGB_RCTL = 0x0100,
	IGB_TCTL = 0x0400,
	IGB_MBVFICR = 0x0c80, /* VFs that sent or acknowledged a message; write 1 to clear */
	IGB_MBVFIMR = 0x0c84,
	IGB_VFLRE = 0x0c88, /* VFs that were reset; write 1 to clear */
	IGB_VFRE = 0x0c8c,
	IGB_VFTE = 0x0c90,
	IGB_GPIE = 0x1514,
	IGB_EIMS = 0x1524,
	IGB_EIMC = 0x1528,
	IGB_EIAC = 0x152c,
	IGB_IVAR_MISC = 0x1740,
	IGB_QDE = 0x2408,
	IGB_DTXSWC = 0x3500,
	IGB_MTA = 0x5200, /* 128 of them */
	IGB_RAL0 = 0x5400,
	IGB_MRQC = 0x5818,
	IGB_VT_CTL = 0x581c,
};

#define IGB_VMBMEM(vf) (0x0800u + 0x40 * (vf))
#define IGB_P2VMAILBOX(vf) (0x0c00u + 4 * (vf))
#define IGB_VMOLR(vf) (0x5ad0u + 4 * (vf))
#define IGB_RAL(i) (IGB_RAL0 + 8u * (i))
#define IGB_RAH(i) (IGB_RAL0 + 4u + 8u * (i))
#define IGB_MTA_WORDS 128

#define CTRL_GIO_MASTER_DISABLE BIT(2)
#define CTRL_SLU BIT(6)
#define CTRL_RST BIT(26)
#define STATUS_NUM_VFS MASK(17, 14)
#define STATUS_IOV BIT(18)
#define STATUS_GIO_MASTER_ENABLE BIT(19)
#define CTRL_EXT_PFRSTD BIT(14)
#define CTRL_EXT_DRV_LOAD BIT(28)
#define MDIC_REGISTER(n) ((u32)(n) << 16)
#define MDIC_PHY(n) ((u32)(n) << 21)
#define MDIC_WRITE BIT(26)
#define MDIC_READY BIT(28)
#define PHY_CONTROL 0 /* IEEE 802.3, 22.2.4.1 */
#define PHY_CONTROL_RESTART BIT(9)
#define PHY_CONTROL_AUTO BIT(12)
#define RCTL_EN BIT(1)
#define RCTL_SECRC BIT(26)
#define TCTL_EN BIT(1)
#define TCTL_PSP BIT(3)
#define TCTL_CT(n) ((u32)(n) << 4)
#define TCTL_COLD(n) ((u32)(n) << 12)
#define INT_VMMB BIT(8)
#define GPIE_NSICR BIT(0)
#define GPIE_MSIX BIT(4)
#define GPIE_PBA BIT(31)
#define IVAR_OTHER(vector) (((vector) | 0x80u) << 8)
#define MBVFICR_REQUEST(vf) BIT(vf)
#define P2V_STS BIT(0)
#define P2V_ACK BIT(1)
#define P2V_PFU BIT(3)
#define VMOLR_AUPE BIT(24) /* untagged frames */
#define VMOLR_ROMPE BIT(25) /* multicast frames that pass MTA */
#define VMOLR_BAM BIT(27)
#define MRQC_VMDQ 3
#define VT_CTL_NO_DEFAULT BIT(29)
#define VT_CTL_REPLICATE BIT(30)
#define DTXSWC_CHECK_MAC(vf) BIT(vf)
#define DTXSWC_LOOPBACK BIT(31)
#define RAH_POOL(vf) BIT(18 + (vf))
#define RAH_AV BIT(31)

/* A message has up to 16 words. The first has the kind, and an argument in bits 23:16. */
#define MESSAGE_WORDS 16
#define MESSAGE_ACK BIT(31)
#define MESSAGE_NACK BIT(30)
#define MESSAGE_CTS BIT(29) /* the physical function is ready for messages */
#define MESSAGE_INFO MASK(23, 16)
#define MESSAGE_KIND MASK(15, 0)
enum igb_message {
	VF_RESET = 1,
	VF_SET_MAC = 2,
	VF_SET_MULTICAST = 3,
	VF_SET_VLAN = 4,
	VF_SET_LPE = 5,
	PF_CONTROL = 0x100, /* from the physical function; says only whether it is ready (CTS) */
};
#define MAC_FILTERS_CLEAR 1 /* info of VF_SET_MAC: remove additional addresses */
