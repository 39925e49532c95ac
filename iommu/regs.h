/* Registers and structures of a remapping unit, with the names of the Intel VT-d specification,
 * revision 4.1. The section stands above each group, the long name behind each register and
 * field. */
#pragma once

#include <kernel/lib/compiler.h>

/* clang-format off */

/* --- registers (11.4) ----------------------------------------------------- */

enum vtd_register {
	VER_REG		= 0x00, /* Version */
	CAP_REG		= 0x08, /* Capability */
	ECAP_REG	= 0x10, /* Extended Capability */
	GCMD_REG	= 0x18, /* Global Command */
	GSTS_REG	= 0x1c, /* Global Status */
	RTADDR_REG	= 0x20, /* Root Table Address */
	CCMD_REG	= 0x28, /* Context Command */
	FSTS_REG	= 0x34, /* Fault Status */
	FECTL_REG	= 0x38, /* Fault Event Control */
	FEDATA_REG	= 0x3c, /* Fault Event Data */
	FEADDR_REG	= 0x40, /* Fault Event Address */
	FEUADDR_REG	= 0x44, /* Fault Event Upper Address */
	PMEN_REG	= 0x64, /* Protected Memory Enable */
	IQH_REG		= 0x80, /* Invalidation Queue Head */
	IQT_REG		= 0x88, /* Invalidation Queue Tail */
	IQA_REG		= 0x90, /* Invalidation Queue Address */
	ICS_REG		= 0x9c, /* Invalidation Completion Status */
	IECTL_REG	= 0xa0, /* Invalidation Event Control */
	IEDATA_REG	= 0xa4, /* Invalidation Event Data */
	IEADDR_REG	= 0xa8, /* Invalidation Event Address */
	IEUADDR_REG	= 0xac, /* Invalidation Event Upper Address */
	IQERCD_REG	= 0xb0, /* Invalidation Queue Error Record */
	IRTA_REG	= 0xb8, /* Interrupt Remapping Table Address */
};

/* 11.4.2 Capability */
#define CAP_ND		MASK(2, 0)	/* Number of Domains: 2^(4 + 2 * ND) ids */
#define CAP_RWBF	BIT(4)		/* Required Write-Buffer Flushing */
#define CAP_PLMR	BIT(5)		/* Protected Low-Memory Region */
#define CAP_PHMR	BIT(6)		/* Protected High-Memory Region */
#define CAP_CM		BIT(7)		/* Caching Mode */
#define CAP_SAGAW	MASK(12, 8)	/* Supported Adjusted Guest Address Widths */
#define CAP_SAGAW_39	BIT(9)		/*   39 bits: 3-level tables */
#define CAP_SAGAW_48	BIT(10)		/*   48 bits: 4-level tables */
#define CAP_SAGAW_57	BIT(11)		/*   57 bits: 5-level tables */
#define CAP_MGAW	MASK(21, 16)	/* Maximum Guest Address Width, less 1 */
#define CAP_FRO		MASK(33, 24)	/* Fault-Recording Register Offset, in 16 bytes */
#define CAP_SLLPS_2M	BIT(34)		/* Second-Stage Large Page Support: 2 MiB */
#define CAP_SLLPS_1G	BIT(35)		/*   1 GiB */
#define CAP_PSI		BIT(39)		/* Page-Selective Invalidation */
#define CAP_NFR		MASK(47, 40)	/* Number of Fault-Recording Registers, less 1 */
#define CAP_MAMV	MASK(53, 48)	/* Maximum Address Mask Value */
#define CAP_DWD		BIT(54)		/* Drain Writes */
#define CAP_DRD		BIT(55)		/* Drain Reads */

/* 11.4.3 Extended Capability */
#define ECAP_C		BIT(0)		/* Page-Walk Coherency */
#define ECAP_QI		BIT(1)		/* Queued Invalidation */
#define ECAP_DT		BIT(2)		/* Device-TLB Support */
#define ECAP_IR		BIT(3)		/* Interrupt Remapping */
#define ECAP_EIM	BIT(4)		/* Extended Interrupt Mode: x2APIC ids */
#define ECAP_SC		BIT(7)		/* Snoop Control */
#define ECAP_MHMV	MASK(23, 20)	/* Maximum Handle Mask Value */
#define ECAP_DIT	BIT(41)		/* Device-TLB Invalidation Throttle */

/* 11.4.4 Global Command, Global Status: the same bits */
#define GCMD_CFI	BIT(23)		/* Compatibility Format Interrupt */
#define GCMD_SIRTP	BIT(24)		/* Set Interrupt Remap Table Pointer */
#define GCMD_IRE	BIT(25)		/* Interrupt Remapping Enable */
#define GCMD_QIE	BIT(26)		/* Queued Invalidation Enable */
#define GCMD_SRTP	BIT(30)		/* Set Root Table Pointer */
#define GCMD_TE		BIT(31)		/* Translation Enable */
/* What stays set in GCMD while another bit is changed. The one-shot bits read back in GSTS, and
 * must be written as 0. */
#define GSTS_KEPT	(GCMD_TE | GCMD_QIE | GCMD_IRE | GCMD_CFI)

/* 11.4.9 Fault Status */
#define FSTS_PFO	BIT(0)		/* Primary Fault Overflow */
#define FSTS_PPF	BIT(1)		/* Primary Pending Fault */
#define FSTS_IQE	BIT(4)		/* Invalidation Queue Error */
#define FSTS_ICE	BIT(5)		/* Invalidation Completion Error */
#define FSTS_ITE	BIT(6)		/* Invalidation Time-out Error */
#define FSTS_FRI	MASK(15, 8)	/* Fault Record Index */
/* What raises the fault event. */
#define FSTS_CAUSES	(FSTS_PFO | FSTS_PPF | FSTS_IQE | FSTS_ICE | FSTS_ITE)

/* 11.4.10 Fault Event Control, Invalidation Event Control */
#define EVENT_IM	BIT(31)		/* Interrupt Mask */

/* 11.4.14 Fault Recording: 128 bits; the upper half. F is cleared by writing 1. */
#define FRCD_HI_SID	MASK(15, 0)	/* Source Identifier */
#define FRCD_HI_FR	MASK(39, 32)	/* Fault Reason: enum fault_reason */
#define FRCD_HI_AT	MASK(61, 60)	/* Address Type */
#define FRCD_HI_T	BIT(62)		/* Type; with T2 = 0, 1: read, 0: write */
#define FRCD_HI_F	BIT(63)		/* Fault */
/* The lower half. */
#define FRCD_LO_ADDRESS	MASK(63, 12)	/* Fault Information: the page that was accessed */
#define FRCD_LO_INDEX	MASK(63, 48)	/*   the index of an interrupt request */

/* Protected Memory Enable */
#define PMEN_EPM	BIT(31)		/* Enable Protected Memory */
#define PMEN_PRS	BIT(0)		/* Protected Region Status */

/* 11.4.8.6 Invalidation Completion Status */
#define ICS_IWC		BIT(0)		/* Invalidation Wait Descriptor Complete */

/* 11.4.8.8 Invalidation Queue Error Record; zeros on older hardware */
#define IQERCD_IQEI	MASK(3, 0)	/* Invalidation Queue Error Information */
#define IQERCD_ITESID	MASK(47, 32)	/* Invalidation Time-out Error Source Identifier */
#define IQERCD_ICESID	MASK(63, 48)	/* Invalidation Completion Error Source Identifier */

/* 11.4.12 Interrupt Remapping Table Address */
#define IRTA_S		MASK(3, 0)	/* Size: 2^(S + 1) entries */
#define IRTA_EIME	BIT(11)		/* Extended Interrupt Mode Enable */

/* --- fault reasons (7.2.3), legacy mode and interrupt remapping ----------- */

enum fault_reason {
	FAULT_ROOT_NOT_PRESENT		= 0x01,
	FAULT_CONTEXT_NOT_PRESENT	= 0x02,
	FAULT_CONTEXT_INVALID		= 0x03,
	FAULT_ADDRESS_WIDTH		= 0x04,
	FAULT_WRITE			= 0x05,
	FAULT_READ			= 0x06,
	FAULT_TABLE_ACCESS		= 0x07,
	FAULT_ROOT_ACCESS		= 0x08,
	FAULT_CONTEXT_ACCESS		= 0x09,
	FAULT_ROOT_RESERVED		= 0x0a,
	FAULT_CONTEXT_RESERVED		= 0x0b,
	FAULT_TABLE_RESERVED		= 0x0c,
	FAULT_TRANSLATION_BLOCKED	= 0x0d,
	FAULT_IR_REQUEST_RESERVED	= 0x20,
	FAULT_IR_INDEX			= 0x21,
	FAULT_IR_NOT_PRESENT		= 0x22,
	FAULT_IR_TABLE_ACCESS		= 0x23,
	FAULT_IR_ENTRY_RESERVED		= 0x24,
	FAULT_IR_COMPATIBILITY		= 0x25,
	FAULT_IR_SOURCE			= 0x26,
};
#define FAULT_IR_FIRST	0x20
#define FAULT_IR_LAST	0x2f

/* --- invalidation descriptors (6.5.2) ------------------------------------- */

struct qi_desc {
	u64 lo, hi;
};
_Static_assert(sizeof(struct qi_desc) == 16, "128-bit descriptors: IQA.DW = 0");

#define QI_TYPE				MASK(3, 0)
#define QI_TYPE_CONTEXT			0x1UL	/* 6.5.2.1 Context-Cache Invalidate */
#define QI_TYPE_IOTLB			0x2UL	/* 6.5.2.3 IOTLB Invalidate */
#define QI_TYPE_DEVICE_TLB		0x3UL	/* 6.5.2.5 Device-TLB Invalidate */
#define QI_TYPE_IEC			0x4UL	/* 6.5.2.7 Interrupt Entry Cache Invalidate */
#define QI_TYPE_WAIT			0x5UL	/* 6.5.2.8 Invalidation Wait */

/* Granularity of the context-cache and the IOTLB invalidation */
#define QI_GLOBAL			(1UL << 4)
#define QI_DOMAIN			(2UL << 4)	/* domain-selective */
#define QI_DEVICE			(3UL << 4)	/* device-selective: context cache */
#define QI_PAGE				(3UL << 4)	/* page-selective: IOTLB */
#define QI_DID				MASK(31, 16)	/* Domain-ID */

#define QI_CONTEXT_SID			MASK(47, 32)	/* Source-ID */

#define QI_IOTLB_DW			BIT(6)		/* Drain Writes */
#define QI_IOTLB_DR			BIT(7)		/* Drain Reads */
/* upper half */
#define QI_IOTLB_AM			MASK(5, 0)	/* Address Mask */
#define QI_IOTLB_IH			BIT(6)		/* Invalidation Hint: leaf entries only */
#define QI_IOTLB_ADDR			MASK(63, 12)	/* Address */

#define QI_DEVICE_TLB_PFSID_LO		MASK(15, 12)	/* Physical Function Source-ID, bits 3:0 */
#define QI_DEVICE_TLB_MAX_PENDING	MASK(20, 16)	/* Max Invalidations Pending; 0: 32 */
#define QI_DEVICE_TLB_SID		MASK(47, 32)	/* Source-ID */
#define QI_DEVICE_TLB_PFSID_HI		MASK(63, 52)	/* Physical Function Source-ID, bits 15:4 */
/* upper half: with S set, the lowest zero bit of the address at or above bit 12, n, tells the size:
 * 2^(n + 1 - 12) pages */
#define QI_DEVICE_TLB_S			BIT(0)		/* Size */
#define QI_DEVICE_TLB_ADDR		MASK(63, 12)	/* Address */

#define QI_IEC_INDEX			BIT(4)		/* Granularity: index-selective */
#define QI_IEC_IM			MASK(31, 27)	/* Index Mask */
#define QI_IEC_IIDX			MASK(47, 32)	/* Interrupt Index */

#define QI_WAIT_IF			BIT(4)		/* Interrupt Flag */
#define QI_WAIT_SW			BIT(5)		/* Status Write */
#define QI_WAIT_FN			BIT(6)		/* Fence Flag */
#define QI_WAIT_DATA			MASK(63, 32)	/* Status Data */

/* --- root and context entries (9.1, 9.3) ---------------------------------- */

struct root_entry {
	u64 lo, hi;
};
_Static_assert(sizeof(struct root_entry) * 256 == PAGE_SIZE, "9.1");

struct context_entry {
	u64 lo, hi;
};
_Static_assert(sizeof(struct context_entry) * 256 == PAGE_SIZE, "9.3");

#define ROOT_P			BIT(0)		/* Present */

#define CONTEXT_P		BIT(0)		/* Present */
#define CONTEXT_FPD		BIT(1)		/* Fault Processing Disable; without P too */
/* Translation Type: second stage for untranslated requests; translated requests are blocked */
#define CONTEXT_TT_UNTRANSLATED	(0UL << 2)
/* The same, but translated requests and translation requests pass (ATS) */
#define CONTEXT_TT_DEVICE_TLB	(1UL << 2)
/* upper half */
#define CONTEXT_AW		MASK(2, 0)	/* Address Width: levels - 2 */
#define CONTEXT_DID		MASK(23, 8)	/* Domain Identifier */

/* --- second-stage entries (9.8) ------------------------------------------- */

#define SS_R	BIT(0)		/* Read */
#define SS_W	BIT(1)		/* Write */
#define SS_PS	BIT(7)		/* Page Size: the entry is a leaf */
#define SS_SNP	BIT(11)		/* Snoop */
#define SS_ADDR	MASK(51, 12)	/* Address */

/* --- interrupt remapping -------------------------------------------------- */

/* 9.10 Interrupt Remapping Table Entry for remapped interrupts */
struct irte {
	u64 lo, hi;
};
_Static_assert(sizeof(struct irte) == 16, "9.10");

#define IRTE_P		BIT(0)		/* Present */
#define IRTE_VECTOR	MASK(23, 16)	/* Vector */
#define IRTE_DST	MASK(63, 32)	/* Destination Id */
#define IRTE_DST_XAPIC	MASK(47, 40)	/*   of 8 bits */
/* upper half */
#define IRTE_HI_SID	MASK(15, 0)	/* Source Identifier */
#define IRTE_HI_SVT_SID	(1UL << 18)	/* Source Validation Type: all of SID (SQ = 0) */

/* 5.1.5.2 The address of an MSI in remappable format */
#define MSI_HANDLE_LO		MASK(19, 5)	/* interrupt_index, bits 14:0 */
#define MSI_FORMAT_REMAPPABLE	BIT(4)		/* Interrupt Format */
#define MSI_SHV			BIT(3)		/* Subhandle Valid */
#define MSI_HANDLE_HI		BIT(2)		/* interrupt_index, bit 15 */

/* clang-format on */
