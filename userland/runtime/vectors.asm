; Entry of all exceptions and interrupts. Their trap() is in userland/runtime/trap.c.

%include "kernel/x86/trap.inc"

TRAP_STUBS

section .note.GNU-stack noalloc noexec nowrite progbits
