; Entry of every exception and interrupt: makes a struct trap_frame (kernel/x86/trap.h) and calls
; trap() in kernel/core/idt.c.
;
; No SWAPGS is needed: in guest mode exceptions and interrupts cause exits, and between an exit and
; the reload of the host's state interrupts, NMIs and machine checks are blocked (GIF = 0). GS base
; is a guest's only in an exception there, which is a fault of Weir's: trap() repairs it first.

%include "kernel/x86/trap.inc"

TRAP_STUBS

section .note.GNU-stack noalloc noexec nowrite progbits
