/* The interrupt descriptor table: exceptions and interrupts come to trap() (kernel/x86/trap.h). */
#pragma once

/* Load the table on the calling CPU; built at the first call. */
void idt_load(void);
