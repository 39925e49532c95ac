; Entry of all exceptions and interrupts: userland/runtime/trap.c has their trap().

%include "kernel/x86/trap.inc"

TRAP_STUBS

section .note.GNU-stack noalloc noexec nowrite progbits
