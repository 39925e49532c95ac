/* Registers and descriptors of the 82574 (datasheet, chapters 7 and 10). */
#pragma once

#include <kernel/lib/compiler.h>

/* Offset in BAR 0 */
enum e1000e_register {
	CTRL = 0x0000,
	STATUS = 0x0008,
	CTRL_EXT = 0x0018,
	ICR = 0x00c0,
	IMS = 0x00d0,
	IMC = 0x00d8,
	EIAC = 0x00dc,
	IVAR = 0x00e4,
	EITR0 = 0x00e8,
	RCTL = 0x0100,
	TCTL = 0x0400,
	TIPG = 0x0410,
	RDBAL0 = 0x2800,
	RDBAH0 = 0x2804,
	RDLEN0 = 0x2808,
	RDH0 = 0x2810,
	RDT0 = 0x2818,
	RXDCTL0 = 0x2828,
	TDBAL0 = 0x3800,
	TDBAH0 = 0x3804,
	TDLEN0 = 0x3808,
	TDH0 = 0x3810,
	TDT0 = 0x3818,
	TXDCTL0 = 0x3828,
	CRCERRS = 0x4000,
	MPC = 0x4010,
	RLEC = 0x4040,
	RXCSUM = 0x5000,
	RFCTL = 0x5008,
	MTA = 0x5200,
	RAL0 = 0x5400,
	RAH0 = 0x5404,
};

#define CTRL_GIO_MASTER_DISABLE BIT(2)
#define CTRL_SLU BIT(6) /* set link up */
#define CTRL_FRCSPD BIT(11)
#define CTRL_FRCDPLX BIT(12)
#define CTRL_RST BIT(26)
#define STATUS_LU BIT(1)
#define STATUS_SPEED MASK(7, 6) /* 0: 10, 1: 100, 2 and 3: 1000 Mb/s */
#define STATUS_GIO_MASTER_ENABLE BIT(19)
#define CTRL_EXT_DRV_LOAD BIT(28)
#define CTRL_EXT_PBA_SUPPORT BIT(31) /* keep the pending bits as MSI-X wants them */

/* ICR, IMS, IMC, EIAC */
#define INT_TXDW BIT(0)
#define INT_LSC BIT(2)
#define INT_RXDMT0 BIT(4)
#define INT_RXO BIT(6)
#define INT_RXT0 BIT(7)
#define INT_RXQ0 BIT(20)
#define INT_TXQ0 BIT(22)
#define INT_OTHER BIT(24)
#define INT_ALL 0xffffffffu

#define IVAR_RXQ0(vector) ((u32)(vector) | BIT(3))
#define IVAR_TXQ0(vector) ((u32)(vector) << 8 | BIT(11))
#define IVAR_OTHER(vector) ((u32)(vector) << 16 | BIT(19))

#define RCTL_EN BIT(1)
#define RCTL_MPE BIT(4) /* all multicast */
#define RCTL_BAM BIT(15)
#define RCTL_BSIZE_2048 0u
#define RCTL_SECRC BIT(26)
#define RXDCTL_WTHRESH(n) ((u32)(n) << 16)
#define RXDCTL_GRAN BIT(24)
#define RXCSUM_IPOFLD BIT(8)
#define RXCSUM_TUOFLD BIT(9)
#define RXCSUM_PCSD BIT(13)
#define RFCTL_ACK_DIS BIT(12) /* no interrupt of its own for TCP acknowledgements */
#define RFCTL_EXSTEN BIT(15)
#define RAH_AV BIT(31)

#define TCTL_EN BIT(1)
#define TCTL_PSP BIT(3)
#define TCTL_CT(n) ((u32)(n) << 4)
#define TCTL_COLD(n) ((u32)(n) << 12)
#define TIPG_COPPER (8u | 8u << 10 | 6u << 20)
#define TXDCTL_WTHRESH(n) ((u32)(n) << 16)
#define TXDCTL_COUNT_DESC BIT(22) /* "must be 1" */
#define TXDCTL_GRAN BIT(24)

/* Extended receive descriptor (7.1.5), as read and as written back by the device */
struct rx_desc {
	union {
		u64 address;
		struct {
			u32 mrq, rss;
		};
	};
	u32 status_error;
	u16 length, vlan;
};
_Static_assert(sizeof(struct rx_desc) == 16, "82574 datasheet, 7.1.5");

#define RX_DD BIT(0)
#define RX_EOP BIT(1)
#define RX_IXSM BIT(2) /* ignore the checksum indication */
#define RX_L4CS BIT(5)
#define RX_IPCS BIT(6)
#define RX_CE BIT(24)
#define RX_SE BIT(25)
#define RX_SEQ BIT(26)
#define RX_CXE BIT(28)
#define RX_TCPE BIT(29)
#define RX_IPE BIT(30)
#define RX_RXE BIT(31)
#define RX_FRAME_ERRORS (RX_CE | RX_SE | RX_SEQ | RX_CXE | RX_RXE)
#define RX_CHECKSUM_ERRORS (RX_TCPE | RX_IPE)

/* Extended transmit descriptors: context (7.2.6) and data (7.2.7) */
struct tx_desc {
	union {
		u64 address;
		struct {
			u8 ipcss, ipcso;
			u16 ipcse;
			u8 tucss, tucso;
			u16 tucse;
		};
	};
	u32 command; /* length 19:0, type 23:20, command 31:24 */
	u32 status; /* STA 7:0, POPTS 15:8 */
};
_Static_assert(sizeof(struct tx_desc) == 16, "82574 datasheet, 7.2.6");

#define TX_TYPE_CONTEXT 0u
#define TX_TYPE_DATA BIT(20)
#define TX_TUCMD_TCP BIT(24)
#define TX_TUCMD_IP BIT(25) /* IPv4 */
#define TX_EOP BIT(24)
#define TX_IFCS BIT(25)
#define TX_RS BIT(27)
#define TX_DEXT BIT(29)
#define TX_DD BIT(0)
#define TX_IXSM BIT(8)
#define TX_TXSM BIT(9)
