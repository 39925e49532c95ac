; Entry of every exception and interrupt: makes a struct trap_frame (kernel/x86/trap.h) and calls
; trap() in kernel/core/idt.c.
;
; No SWAPGS is needed, because GS base is always the hypervisor's here: in guest mode exceptions and
; interrupts cause exits, and between an exit and the reload of the host's state all are blocked.

%include "kernel/x86/trap.inc"

TRAP_STUBS

section .note.GNU-stack noalloc noexec nowrite progbits
