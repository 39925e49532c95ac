/* The interrupt descriptor table: exceptions and interrupts come to trap() (kernel/x86/trap.h). */
#pragma once

/* Load the table on the calling CPU. The first call builds it. */
void idt_load(void);
