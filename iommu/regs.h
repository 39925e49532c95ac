/* Registers and structures of a remapping unit: Intel VT-d specification, revision 4.1; sections at
 * each group. */
#pragma once

#include <kernel/lib/compiler.h>

/* --- registers, chapter 11.4 ------------------------------------------------------------------------------------- */

enum vtd_register {
	VER_REG = 0x00,
	CAP_REG = 0x08,
	ECAP_REG = 0x10,
	GCMD_REG = 0x18,
	GSTS_REG = 0x1c,
	RTADDR_REG = 0x20,
	CCMD_REG = 0x28,
	FSTS_REG = 0x34,
	FECTL_REG = 0x38,
	FEDATA_REG = 0x3c,
	FEADDR_REG = 0x40,
	FEUADDR_REG = 0x44,
	PMEN_REG = 0x64,
	IQH_REG = 0x80,
	IQT_REG = 0x88,
	IQA_REG = 0x90,
	ICS_REG = 0x9c,
	IECTL_REG = 0xa0,
	IEDATA_REG = 0xa4,
	IEADDR_REG = 0xa8,
	IEUADDR_REG = 0xac,
	IQERCD_REG = 0xb0,
	IRTA_REG = 0xb8,
};

/* 11.4.2 Capability Register */
#define CAP_ND MASK(2, 0) /* 2^(4 + 2 * ND) domain ids */
#define CAP_RWBF BIT(4)
#define CAP_PLMR BIT(5)
#define CAP_PHMR BIT(6)
#define CAP_CM BIT(7)
#define CAP_SAGAW MASK(12, 8)
#define CAP_SAGAW_39 BIT(9)
#define CAP_SAGAW_48 BIT(10)
#define CAP_SAGAW_57 BIT(11)
#define CAP_MGAW MASK(21, 16)
#define CAP_FRO MASK(33, 24)
#define CAP_SLLPS_2M BIT(34)
#define CAP_SLLPS_1G BIT(35)
#define CAP_PSI BIT(39)
#define CAP_NFR MASK(47, 40)
#define CAP_MAMV MASK(53, 48)
#define CAP_DWD BIT(54)
#define CAP_DRD BIT(55)

/* Protected Memory Enable Register */
#define PMEN_EPM BIT(31)
#define PMEN_PRS BIT(0)

/* 11.4.3 Extended Capability Register */
#define ECAP_C BIT(0)
#define ECAP_QI BIT(1)
#define ECAP_DT BIT(2)
#define ECAP_IR BIT(3)
#define ECAP_EIM BIT(4)
#define ECAP_SC BIT(7)
#define ECAP_DIT BIT(41)

/* 11.4.4 Global Command, Global Status: the same bits */
#define GCMD_CFI BIT(23)
#define GCMD_SIRTP BIT(24)
#define GCMD_IRE BIT(25)
#define GCMD_QIE BIT(26)
#define GCMD_SRTP BIT(30)
#define GCMD_TE BIT(31)
/* What stays set in GCMD while another bit is changed: the one-shot bits read back in GSTS, and
 * must be written as 0. */
#define GSTS_KEPT (GCMD_TE | GCMD_QIE | GCMD_IRE | GCMD_CFI)

/* 11.4.9 Fault Status, 11.4.10 Fault Event Control */
#define FSTS_PFO BIT(0)
#define FSTS_PPF BIT(1)
#define FSTS_IQE BIT(4)
#define FSTS_ICE BIT(5)
#define FSTS_ITE BIT(6)
#define FSTS_CAUSES (FSTS_PFO | FSTS_PPF | FSTS_IQE | FSTS_ICE | FSTS_ITE) /* of the fault event */
#define FSTS_FRI MASK(15, 8)
#define EVENT_IM BIT(31) /* FECTL, IECTL: masked */

/* 11.4.14 Fault Recording: 128 bits; the upper half */
#define FRCD_HI_SID MASK(15, 0)
#define FRCD_HI_FR MASK(39, 32)
#define FRCD_HI_AT MASK(61, 60)
#define FRCD_HI_T BIT(62) /* 1: read, 0: write; with T2 = 0 */
#define FRCD_HI_F BIT(63)

/* 11.4.8.8 Invalidation Queue Error Record; zeros on older hardware */
#define IQERCD_IQEI MASK(3, 0)
#define IQERCD_ITESID MASK(47, 32)
#define IQERCD_ICESID MASK(63, 48)

/* 11.4.8.4 Invalidation Queue Address, 11.4.8.6 Invalidation Completion Status */
#define ICS_IWC BIT(0)

/* 11.4.12 Interrupt Remapping Table Address */
#define IRTA_EIME BIT(11)

/* --- invalidation descriptors, section 6.5.2 ------------------------------------------------------------------------ */

struct qi_desc {
	u64 lo, hi;
};
_Static_assert(sizeof(struct qi_desc) == 16, "128-bit descriptors: IQA.DW = 0");

#define QI_TYPE MASK(3, 0)
#define QI_TYPE_CONTEXT 0x1UL
#define QI_TYPE_IOTLB 0x2UL
#define QI_TYPE_DEVICE_TLB 0x3UL
#define QI_TYPE_IEC 0x4UL
#define QI_TYPE_WAIT 0x5UL
/* Granularity of the context-cache and the IOTLB invalidation. */
#define QI_GLOBAL (1UL << 4)
#define QI_DOMAIN (2UL << 4)
#define QI_DEVICE (3UL << 4) /* context cache */
#define QI_PAGE (3UL << 4) /* IOTLB */
#define QI_DID MASK(31, 16)
#define QI_CONTEXT_SID MASK(47, 32)
#define QI_IOTLB_DW BIT(6)
#define QI_IOTLB_DR BIT(7)
#define QI_IOTLB_AM MASK(5, 0) /* upper half */
#define QI_IOTLB_IH BIT(6)
#define QI_IOTLB_ADDR MASK(63, 12)
#define QI_DEVICE_TLB_MAX_PENDING MASK(20, 16) /* the device's queue depth; 0: 32 */
#define QI_DEVICE_TLB_SID MASK(47, 32)
#define QI_DEVICE_TLB_PFSID_LO MASK(15, 12)
#define QI_DEVICE_TLB_PFSID_HI MASK(63, 52)
/* Upper half: with S set, the address' lowest zero bit at or above bit 12 tells the size: 2^(n + 1 - 12) pages. */
#define QI_DEVICE_TLB_S BIT(0)
#define QI_DEVICE_TLB_ADDR MASK(63, 12)
#define QI_IEC_INDEX BIT(4) /* index-selective, not global */
#define QI_IEC_IIDX MASK(47, 32)
#define QI_WAIT_IF BIT(4)
#define QI_WAIT_SW BIT(5)
#define QI_WAIT_FN BIT(6)
#define QI_WAIT_DATA MASK(63, 32)

/* --- root and context entries, 9.1 and 9.3 ------------------------------------------------------------------------------ */

struct root_entry {
	u64 lo, hi;
};
struct context_entry {
	u64 lo, hi;
};
_Static_assert(sizeof(struct root_entry) * 256 == PAGE_SIZE, "9.1");
_Static_assert(sizeof(struct context_entry) * 256 == PAGE_SIZE, "9.3");
#define ROOT_P BIT(0)
#define CONTEXT_P BIT(0)
#define CONTEXT_FPD BIT(1) /* faults are not recorded; without P too */
#define CONTEXT_TT_UNTRANSLATED (0UL << 2) /* second stage; translated requests are blocked */
#define CONTEXT_TT_DEVICE_TLB                                                                      \
	(1UL << 2) /* the same, but translated and translation requests pass (ATS) */
#define CONTEXT_AW MASK(2, 0) /* upper half: levels - 2 */
#define CONTEXT_DID MASK(23, 8)

/* --- second-stage entries, 9.8 ---------------------------------------------------------------------------------------- */

#define SS_R BIT(0)
#define SS_W BIT(1)
#define SS_PS BIT(7)
#define SS_SNP BIT(11)
#define SS_ADDR MASK(51, 12)

/* --- interrupt remapping entry, 9.10 ------------------------------------------------------------------------------------ */

struct irte {
	u64 lo, hi;
};
_Static_assert(sizeof(struct irte) == 16, "9.10");
#define IRTE_P BIT(0)
#define IRTE_VECTOR MASK(23, 16)
#define IRTE_DST MASK(63, 32)
#define IRTE_DST_XAPIC MASK(47, 40)
#define IRTE_HI_SID MASK(15, 0)
#define IRTE_HI_SVT_SID (1UL << 18) /* verify the whole source id (SQ = 0) */
