/* The I/O APIC of a PC (Intel 82093AA, with the EOI register of its successors). Pin 2 is IRQ 0, as
 * the MADT says, and pin 0 is the output of the interrupt controllers. */
#pragma once

#include <kernel/lib/compiler.h>

struct legacy;

#define VIOAPIC_ADDRESS 0xfec00000UL
#define VIOAPIC_VERSION 0x20u /* the first with IOEOIR */
#define VIOAPIC_PINS 24
#define VIOAPIC_PIN_PIC 0
#define VIOAPIC_PIN_IRQ0 2

struct vioapic {
	u8 select;
	u32 id; /* as written: bits 27:24 */
	u32 lines; /* the pins that are high */
	u64 entry[VIOAPIC_PINS];
};

/* Take its page. -ENOSPC, -EEXIST. Boot. */
int __must_check vioapic_add(struct legacy *l);
/* Reset to the state after power-on. The lock of `l` is held, here and below. */
void vioapic_reset(struct legacy *l);
/* Set a pin. */
void vioapic_set_line(struct legacy *l, u32 pin, bool level);
bool vioapic_is_masked(const struct legacy *l, u32 pin);
/* True if an edge of the pin would be a new interrupt. */
bool vioapic_takes_edge(const struct legacy *l, u32 pin);
/* A vCPU has ended a level-triggered interrupt with this vector. */
void vioapic_end_of_interrupt(struct legacy *l, u8 vector);
