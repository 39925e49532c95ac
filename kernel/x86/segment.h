/* Segment descriptors, the task state, interrupt gates, and the registers that hold their tables'
 * addresses. SDM vol. 3, 3.4, 6.14 and 8.7. */
#pragma once

#include <kernel/lib/compiler.h>

/* Flat segments, with a 4 GiB limit where there is one; present and accessed. */
#define GDT_CODE64 0x00af9b000000ffffUL
#define GDT_CODE32 0x00cf9b000000ffffUL
#define GDT_DATA 0x00cf93000000ffffUL
#define GDT_USER_CODE64 0x00affb000000ffffUL
#define GDT_USER_DATA 0x00cff3000000ffffUL
#define GDT_CODE16 0x00009b000000ffffUL /* 64 KiB */
#define GDT_TSS_AVAILABLE (0x89UL << 40)

struct tss {
	u32 reserved0;
	u64 rsp[3];
	u64 reserved1;
	u64 ist[7]; /* IST 1 is ist[0] */
	u64 reserved2;
	u16 reserved3;
	u16 io_map_base;
} __packed;
_Static_assert(sizeof(struct tss) == 104, "SDM vol. 3, 8.7");

/* Fill in the descriptor of a TSS, which takes two entries of the GDT. */
static inline void set_tss_descriptor(u64 entry[2], const struct tss *tss)
{
	u64 base = (u64)tss;

	entry[0] = GDT_TSS_AVAILABLE | (sizeof(*tss) - 1) | (base & 0xffffff) << 16 |
		   (base >> 24 & 0xff) << 56;
	entry[1] = base >> 32;
}

struct idt_gate {
	u16 offset_low;
	u16 selector;
	u8 ist;
	u8 type;
	u16 offset_middle;
	u32 offset_high;
	u32 reserved;
};
_Static_assert(sizeof(struct idt_gate) == 16, "SDM vol. 3, 6.14.1");

/* Present 64-bit interrupt gates: RFLAGS.IF is cleared. */
#define GATE_INTERRUPT 0x8e
#define GATE_INTERRUPT_USER 0xee /* user mode may use it with INT n */

/* Build a gate (type: GATE_*). ist: 0 stays on the current stack, 1 to 7 switches to that stack of
 * the TSS. */
static inline struct idt_gate interrupt_gate(const void *entry, u16 selector, u8 type, u8 ist)
{
	u64 offset = (u64)entry;

	return (struct idt_gate){
		.offset_low = (u16)offset,
		.selector = selector,
		.ist = ist,
		.type = type,
		.offset_middle = (u16)(offset >> 16),
		.offset_high = (u32)(offset >> 32),
	};
}

/* The operand of LGDT and LIDT. */
struct table_register {
	u16 limit; /* bytes - 1 */
	u64 base;
} __packed;

static inline void lgdt(const void *table, size_t bytes)
{
	struct table_register r = { (u16)(bytes - 1), (u64)table };

	__asm__ volatile("lgdt %0" ::"m"(r) : "memory");
}

static inline void lidt(const void *table, size_t bytes)
{
	struct table_register r = { (u16)(bytes - 1), (u64)table };

	__asm__ volatile("lidt %0" ::"m"(r) : "memory");
}

static inline void lldt(u16 selector)
{
	__asm__ volatile("lldt %0" ::"r"(selector) : "memory");
}

static inline void ltr(u16 selector)
{
	__asm__ volatile("ltr %0" ::"r"(selector) : "memory");
}
