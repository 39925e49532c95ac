; Entry of the test guests: Multiboot 1 starts them in 32-bit mode; they switch to long mode with
; the first 4 GiB identity-mapped. Other CPUs do the same from real mode after SIPI. Trap entries.

global start, trampoline, trampoline_end, level_4
extern main, ap_main

%include "kernel/x86/constants.inc"
%include "kernel/x86/trap.inc"

MAGIC equ 0x1badb002
STACK equ 16384

section .multiboot align=4
	dd	MAGIC, 0, -MAGIC

section .bss nobits alloc noexec write align=4096
level_4:	resb PAGE_SIZE
level_3:	resb PAGE_SIZE
level_2:	resb 4 * PAGE_SIZE
stack:		resb STACK
multiboot_magic: resd 1
multiboot_info:	resd 1

section .data
align 8
gdt:
	dq	0
	dq	GDT_CODE64		; 08
	dq	GDT_DATA		; 10
	dq	GDT_CODE32		; 18
gdt_end:
gdt_pointer:
	dw	gdt_end - gdt - 1
	dq	gdt

section .text
bits 32
start:
	mov	[multiboot_magic], eax
	mov	[multiboot_info], ebx
	lgdt	[gdt_pointer]
	mov	esp, stack + STACK

	mov	dword [level_4], level_3 + (PTE_P | PTE_W | PTE_U)
	mov	edi, level_3
	mov	eax, level_2 + (PTE_P | PTE_W | PTE_U)
	mov	ecx, 4
.level_3:
	mov	[edi], eax
	add	edi, 8
	add	eax, PAGE_SIZE
	loop	.level_3
	mov	edi, level_2
	mov	eax, PTE_P | PTE_W | PTE_U | PTE_PS
	mov	ecx, 2048
.level_2:
	mov	[edi], eax
	add	edi, 8
	add	eax, 1 << 21
	loop	.level_2

	call	paging_on
	jmp	0x08:.long
bits 64
.long:
	mov	edi, [multiboot_magic]
	mov	esi, [multiboot_info]
	call	main
.end:
	cli
	hlt
	jmp	.end

bits 32
paging_on:
	mov	eax, 0x10
	mov	ds, eax
	mov	es, eax
	mov	ss, eax
	mov	eax, cr4
	or	eax, CR4_PAE | CR4_OSFXSR
	mov	cr4, eax
	mov	eax, level_4
	mov	cr3, eax
	mov	ecx, MSR_EFER
	rdmsr
	or	eax, EFER_LME | EFER_NXE
	wrmsr
	mov	eax, cr0
	or	eax, CR0_PG | CR0_WP | CR0_PE
	mov	cr0, eax
	ret

; Copied to the page that SIPI names. DS does not point to it, so load DS from CS.
section .rodata
bits 16
trampoline:
	cli
	mov	ax, cs
	mov	ds, ax
	o32 lgdt [.gdt_pointer - trampoline]
	mov	eax, cr0
	or	al, CR0_PE
	mov	cr0, eax
	jmp	dword 0x18:ap_protected
.gdt_pointer:
	dw	gdt_end - gdt - 1
	dd	gdt
trampoline_end:

section .bss
ap_stacks:	resb 8 * STACK

section .data
ap_next:	dd 0

section .text
bits 32
ap_protected:
	mov	eax, 0x10
	mov	ss, eax
	mov	ds, eax
	mov	ebx, 1
	lock xadd [ap_next], ebx
	and	ebx, 7
	imul	esp, ebx, STACK
	add	esp, ap_stacks + STACK
	call	paging_on
	jmp	0x08:.long
bits 64
.long:
	xor	ebp, ebp
	call	ap_main
.end:
	cli
	hlt
	jmp	.end

; trap() is in tests/guests/traps.c, or in tests/guests/fuzz/recover.c.
TRAP_STUBS

section .note.GNU-stack noalloc noexec nowrite progbits
