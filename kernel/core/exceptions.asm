; Entry of all exceptions and interrupts: kernel/core/idt.c has their trap().
;
; GS base is the hypervisor's whenever one can come in (in guest mode they exit, and between the exit
; and the reload of the host's state everything is held), so no SWAPGS.

%include "kernel/x86/trap.inc"

TRAP_STUBS

section .note.GNU-stack noalloc noexec nowrite progbits
