/* The virtual machine control block: AMD APM volume 2, appendix B. */
#pragma once

#include <kernel/lib/compiler.h>
#include <kernel/x86/exceptions.h>

/* Table B-1, offsets 00ch and 010h: one bit each. */
enum vmcb_intercept_1 {
	INTERCEPT_INTR = 1u << 0,
	INTERCEPT_NMI = 1u << 1,
	INTERCEPT_SMI = 1u << 2,
	INTERCEPT_INIT = 1u << 3,
	INTERCEPT_VINTR = 1u << 4,
	INTERCEPT_RDPMC = 1u << 15,
	INTERCEPT_CPUID = 1u << 18,
	INTERCEPT_IRET = 1u << 20,
	INTERCEPT_INVD = 1u << 22,
	INTERCEPT_HLT = 1u << 24,
	INTERCEPT_INVLPGA = 1u << 26,
	INTERCEPT_IOIO_PROT = 1u << 27,
	INTERCEPT_MSR_PROT = 1u << 28,
	INTERCEPT_FERR_FREEZE = 1u << 30,
	INTERCEPT_SHUTDOWN = 1u << 31,
};

enum vmcb_intercept_2 {
	INTERCEPT_VMRUN = 1u << 0,
	INTERCEPT_VMMCALL = 1u << 1,
	INTERCEPT_VMLOAD = 1u << 2,
	INTERCEPT_VMSAVE = 1u << 3,
	INTERCEPT_STGI = 1u << 4,
	INTERCEPT_CLGI = 1u << 5,
	INTERCEPT_SKINIT = 1u << 6,
	INTERCEPT_WBINVD = 1u << 9,
	INTERCEPT_MONITOR = 1u << 10,
	INTERCEPT_MWAIT = 1u << 11,
	INTERCEPT_MWAIT_ARMED = 1u << 12,
	INTERCEPT_XSETBV = 1u << 13,
	INTERCEPT_RDPRU = 1u << 14,
};

/* Offset 058h. */
#define TLB_CONTROL_NOTHING 0
#define TLB_CONTROL_FLUSH_ALL 1

/* Offset 002h: one bit per register. */
#define CR_WRITE_CR4 BIT(4)
#define CR_WRITE_CR8 BIT(8)

/* Offset 060h. */
#define VINTR_V_TPR MASK(7, 0)
#define VINTR_V_IRQ BIT(8)
#define VINTR_V_INTR_PRIO MASK(19, 16)
#define VINTR_V_IGN_TPR BIT(20)
#define VINTR_MASKING BIT(24)

/* Offsets 088h and 0a8h: section 15.20. */
#define EVENT_VECTOR MASK(7, 0)
#define EVENT_TYPE MASK(10, 8)
#define EVENT_TYPE_INTR 0UL
#define EVENT_TYPE_NMI 2UL
#define EVENT_TYPE_EXCEPTION 3UL
#define EVENT_TYPE_SOFT_INT 4UL
#define EVENT_ERROR_VALID BIT(11)
#define EVENT_VALID BIT(31)
#define EVENT_ERROR_CODE MASK(63, 32)

/* True for INT n, INT3 and INTO, whose RIP is that of the instruction. INT3 and INTO count as
 * exceptions: 15.7.2, 15.12.4. */
static inline bool event_is_of_instruction(u64 event)
{
	u64 vector = FIELD_GET(EVENT_VECTOR, event);

	return FIELD_GET(EVENT_TYPE, event) == EVENT_TYPE_SOFT_INT ||
	       (FIELD_GET(EVENT_TYPE, event) == EVENT_TYPE_EXCEPTION &&
		(vector == EXC_BP || vector == EXC_OF));
}

/* Appendix C: exit codes. */
enum vmexit {
	VMEXIT_CR4_WRITE = 0x14,
	VMEXIT_CR8_WRITE = 0x18,
	VMEXIT_EXCP_BASE = 0x40,
	VMEXIT_EXCP_DB = 0x41,
	VMEXIT_EXCP_AC = 0x51,
	VMEXIT_EXCP_MC = 0x52,
	VMEXIT_INTR = 0x60,
	VMEXIT_NMI = 0x61,
	VMEXIT_SMI = 0x62,
	VMEXIT_INIT = 0x63,
	VMEXIT_VINTR = 0x64,
	VMEXIT_RDPMC = 0x6f,
	VMEXIT_CPUID = 0x72,
	VMEXIT_IRET = 0x74,
	VMEXIT_INVD = 0x76,
	VMEXIT_HLT = 0x78,
	VMEXIT_INVLPGA = 0x7a,
	VMEXIT_IOIO = 0x7b,
	VMEXIT_MSR = 0x7c,
	VMEXIT_FERR_FREEZE = 0x7e,
	VMEXIT_SHUTDOWN = 0x7f,
	VMEXIT_VMRUN = 0x80,
	VMEXIT_VMMCALL = 0x81,
	VMEXIT_VMLOAD = 0x82,
	VMEXIT_VMSAVE = 0x83,
	VMEXIT_STGI = 0x84,
	VMEXIT_CLGI = 0x85,
	VMEXIT_SKINIT = 0x86,
	VMEXIT_WBINVD = 0x89,
	VMEXIT_MONITOR = 0x8a,
	VMEXIT_MWAIT = 0x8b,
	VMEXIT_MWAIT_CONDITIONAL = 0x8c,
	VMEXIT_XSETBV = 0x8d,
	VMEXIT_RDPRU = 0x8e,
	VMEXIT_NPF = 0x400,
};
#define VMEXIT_INVALID (~0UL)

/* EXITINFO1 of IOIO, section 15.10.2. */
#define IOIO_IN BIT(0)
#define IOIO_STR BIT(2)
#define IOIO_REP BIT(3)
#define IOIO_SIZE MASK(6, 4) /* one-hot: the size in bytes */
#define IOIO_ADDRESS MASK(9, 7) /* one-hot: 16, 32, 64 bits */
#define IOIO_SEGMENT MASK(12, 10) /* with decode assists: as enum guest_segment */
#define IOIO_PORT MASK(31, 16)

/* EXITINFO1 of a write to a control register, with decode assists, section 15.8.1. */
#define CR_WRITE_REGISTER MASK(3, 0) /* as enum guest_register */

/* EXITINFO1 of NPF, section 15.25.6. */
#define NPF_PRESENT BIT(0)
#define NPF_WRITE BIT(1)
#define NPF_FETCH BIT(4)
#define NPF_TABLE_WALK BIT(33)

/* Offset 068h: section 15.21.5. */
#define INTERRUPT_SHADOW BIT(0)

struct vmcb_segment {
	u16 selector;
	u16 attrib; /* descriptor bits 55:52 and 47:40 */
	u32 limit;
	u64 base;
};

/* In attrib of a code segment. */
#define SEGMENT_L BIT(9) /* 64-bit code */
#define SEGMENT_D BIT(10) /* 32-bit code */

struct vmcb {
	u16 cr_read, cr_write, dr_read, dr_write;
	u32 exceptions;
	u32 intercept_1, intercept_2, intercept_3;
	u8 reserved_018[0x3c - 0x18];
	u16 pause_threshold, pause_count;
	u64 iopm_base_pa, msrpm_base_pa, tsc_offset;
	u32 asid;
	u8 tlb_control;
	u8 reserved_05d[3];
	u32 vintr;
	u8 vintr_vector;
	u8 reserved_065[3];
	u64 interrupt_shadow;
	u64 exitcode, exitinfo1, exitinfo2, exitintinfo;
	u64 np_enable;
	u64 avic_bar, ghcb;
	u64 eventinj, n_cr3, lbr_enable;
	u32 clean_bits, reserved_0c4;
	u64 nrip;
	u8 fetched_bytes, bytes[15];
	u8 reserved_0e0[0x400 - 0xe0];

	/* State save area, table B-2, at 400h. */
	struct vmcb_segment es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr;
	u8 reserved_4a0[0x4cb - 0x4a0];
	u8 cpl;
	u32 reserved_4cc;
	u64 efer;
	u8 reserved_4d8[0x548 - 0x4d8];
	u64 cr4, cr3, cr0, dr7, dr6, rflags, rip;
	u8 reserved_580[0x5d8 - 0x580];
	u64 rsp;
	u8 reserved_5e0[0x5f8 - 0x5e0];
	u64 rax, star, lstar, cstar, sfmask, kernel_gs_base;
	u64 sysenter_cs, sysenter_esp, sysenter_eip;
	u64 cr2;
	u8 reserved_648[0x668 - 0x648];
	u64 g_pat, dbgctl;
	u8 reserved_678[0x1000 - 0x678];
};
_Static_assert(sizeof(struct vmcb) == 4096, "APM 2, appendix B");
_Static_assert(offsetof(struct vmcb, iopm_base_pa) == 0x040, "APM 2, appendix B");
_Static_assert(offsetof(struct vmcb, vintr) == 0x060, "APM 2, appendix B");
_Static_assert(offsetof(struct vmcb, exitcode) == 0x070, "APM 2, appendix B");
_Static_assert(offsetof(struct vmcb, np_enable) == 0x090, "APM 2, appendix B");
_Static_assert(offsetof(struct vmcb, eventinj) == 0x0a8, "APM 2, appendix B");
_Static_assert(offsetof(struct vmcb, nrip) == 0x0c8, "APM 2, appendix B");
_Static_assert(offsetof(struct vmcb, es) == 0x400, "APM 2, appendix B");
_Static_assert(offsetof(struct vmcb, efer) == 0x4d0, "APM 2, appendix B");
_Static_assert(offsetof(struct vmcb, rip) == 0x578, "APM 2, appendix B");
_Static_assert(offsetof(struct vmcb, rsp) == 0x5d8, "APM 2, appendix B");
_Static_assert(offsetof(struct vmcb, rax) == 0x5f8, "APM 2, appendix B");
_Static_assert(offsetof(struct vmcb, cr2) == 0x640, "APM 2, appendix B");
_Static_assert(offsetof(struct vmcb, g_pat) == 0x668, "APM 2, appendix B");
