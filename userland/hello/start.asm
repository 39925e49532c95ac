; Entry of a 32-bit ELF guest that a Multiboot loader starts: header, stack, call of main.
global start
extern hello_main

section .multiboot progbits alloc noexec align=4
MULTIBOOT_FLAGS equ (1 << 0) | (1 << 1) ; modules on pages, memory information
	dd 0x1badb002, MULTIBOOT_FLAGS, -(0x1badb002 + MULTIBOOT_FLAGS)

section .text
bits 32
start:
	cli
	cld
	mov esp, stack_top
	push ebx
	push eax
	call hello_main
.stop:
	cli
	hlt
	jmp .stop

section .bss nobits alloc write align=16
	resb 0x2000
stack_top:
