/* The local APIC: registers, commands, and the messages that devices send to it. SDM vol. 3,
 * chapter 11. */
#pragma once

#include <kernel/x86/msr.h>

/* Table 11-6. In x2APIC mode a register is the MSR X2APIC(n), in xAPIC mode it lies at byte 16 * n
 * of the APIC's page. */
enum apic_register {
	APIC_ID = 0x02,
	APIC_VERSION = 0x03,
	APIC_TPR = 0x08,
	APIC_PPR = 0x0a,
	APIC_EOI = 0x0b,
	APIC_LDR = 0x0d,
	APIC_DFR = 0x0e, /* xAPIC mode only */
	APIC_SVR = 0x0f,
	APIC_ISR = 0x10, /* 8 registers each */
	APIC_TMR = 0x18,
	APIC_IRR = 0x20,
	APIC_ESR = 0x28,
	APIC_LVT_CMCI = 0x2f,
	APIC_ICR = 0x30,
	APIC_ICR_HIGH = 0x31, /* xAPIC mode only */
	APIC_LVT_TIMER = 0x32,
	APIC_LVT_THERMAL = 0x33,
	APIC_LVT_PERF = 0x34,
	APIC_LVT_LINT0 = 0x35,
	APIC_LVT_LINT1 = 0x36,
	APIC_LVT_ERROR = 0x37,
	APIC_TIMER_INITIAL = 0x38,
	APIC_TIMER_CURRENT = 0x39,
	APIC_TIMER_DIVIDE = 0x3e,
	APIC_SELF_IPI = 0x3f, /* x2APIC mode only */
	APIC_EXT_FEATURE = 0x40, /* AMD, with VERSION_EXTENDED: APM vol. 2, 16.3.5 */
	APIC_EXT_LVT = 0x50, /* AMD: four registers at most */
};
#define X2APIC(reg) (MSR_X2APIC + (u32)(reg))

/* APIC_VERSION, 11.4.8. */
#define VERSION_MAX_LVT MASK(23, 16) /* entries of the local vector table, minus 1 */
#define VERSION_EXTENDED BIT(31) /* AMD: there is an extended register space */
#define EXT_FEATURE_LVTS MASK(23, 16)

/* MSR_APIC_BASE, 11.4.4 and 11.12.1. */
#define APIC_BASE_BSP BIT(8) /* the bootstrap processor */
#define APIC_BASE_EXTD BIT(10) /* x2APIC mode */
#define APIC_BASE_ENABLE BIT(11)
#define APIC_DEFAULT_ADDRESS 0xfee00000UL

#define SVR_ENABLE BIT(8)

#define ESR_SEND_ILLEGAL BIT(5)
#define ESR_RECEIVE_ILLEGAL BIT(6)
#define ESR_ILLEGAL_REGISTER BIT(7) /* xAPIC mode only */

/* The local vector table, 11.5.1. */
#define LVT_VECTOR MASK(7, 0)
#define LVT_MODE MASK(10, 8)
#define LVT_NMI ((u32)FIELD_PREP(LVT_MODE, 4)) /* DELIVERY_NMI; the vector is ignored */
#define LVT_ACTIVE_LOW ((u32)BIT(13)) /* of LINT0 and LINT1 */
#define LVT_MASKED BIT(16)
#define LVT_TIMER_MODE MASK(18, 17)
enum timer_mode { TIMER_ONE_SHOT, TIMER_PERIODIC, TIMER_TSC_DEADLINE };
#define LVT_PERIODIC FIELD_PREP(LVT_TIMER_MODE, TIMER_PERIODIC)
#define LVT_TSC_DEADLINE FIELD_PREP(LVT_TIMER_MODE, TIMER_TSC_DEADLINE)

/* APIC_TIMER_DIVIDE, figure 11-10. */
#define DIVIDE_BY_1 0xb
#define DIVIDE_BY_2 0x0
#define DIVIDE_BY_16 0x3

/* In interrupt commands, in entries of the local vector table, and in messages. */
enum delivery_mode {
	DELIVERY_FIXED = 0,
	DELIVERY_LOWEST = 1, /* to the CPU with the lowest priority */
	DELIVERY_SMI = 2,
	DELIVERY_NMI = 4,
	DELIVERY_INIT = 5,
	DELIVERY_STARTUP = 6,
	DELIVERY_EXTINT = 7, /* vector from the 8259 */
};

/* The interrupt command register, 11.6.1 and 11.12.9. */
#define ICR_VECTOR MASK(7, 0)
#define ICR_MODE MASK(10, 8)
#define ICR_LOGICAL BIT(11)
#define ICR_PENDING BIT(12)
#define ICR_ASSERT BIT(14)
#define ICR_TRIGGER_LEVEL BIT(15)
#define ICR_SHORTHAND MASK(19, 18)
enum icr_shorthand { TO_DESTINATION, TO_SELF, TO_ALL, TO_OTHERS };
#define ICR_DESTINATION MASK(63, 32)
/* Values of its fields. */
#define ICR_NMI FIELD_PREP(ICR_MODE, DELIVERY_NMI)
#define ICR_INIT FIELD_PREP(ICR_MODE, DELIVERY_INIT)
#define ICR_STARTUP FIELD_PREP(ICR_MODE, DELIVERY_STARTUP) /* the vector is a page number */
#define ICR_SELF FIELD_PREP(ICR_SHORTHAND, TO_SELF)
#define ICR_ALL_BUT_SELF FIELD_PREP(ICR_SHORTHAND, TO_OTHERS)
#define ICR_TO(apic_id) FIELD_PREP(ICR_DESTINATION, apic_id)

/* The message by which a device raises an interrupt: address and data, 11.11. */
#define MSI_ADDRESS 0xfee00000u
#define MSI_ADDRESS_DESTINATION MASK(19, 12)
#define MSI_ADDRESS_LOGICAL BIT(2)
#define MSI_ADDRESS_HINT BIT(3) /* logical: only one of the CPUs takes it */
#define MSI_DATA_VECTOR MASK(7, 0)
#define MSI_DATA_MODE MASK(10, 8)
