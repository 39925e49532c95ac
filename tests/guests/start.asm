; Start-up of the test guests: Multiboot 1, 32-bit entry, then long mode with 4 GiB mapped one to one; the same way for
; further CPUs from the real mode that SIPI gives them. Trap entries.

global start, trap_entries, trampoline, trampoline_end, level_4
extern main, ap_main, trap

MAGIC equ 0x1badb002
STACK equ 16384

section .multiboot align=4
	dd	MAGIC, 0, -MAGIC

section .bss nobits alloc noexec write align=4096
level_4:	resb 4096
level_3:	resb 4096
level_2:	resb 4 * 4096
stack:		resb STACK
multiboot_magic: resd 1
multiboot_info:	resd 1

section .data
align 8
gdt:
	dq	0
	dq	0x00af9b000000ffff	; 08: 64-bit code
	dq	0x00cf93000000ffff	; 10: data
	dq	0x00cf9b000000ffff	; 18: 32-bit code
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

	mov	dword [level_4], level_3 + 7
	mov	edi, level_3
	mov	eax, level_2 + 7
	mov	ecx, 4
.level_3:
	mov	[edi], eax
	add	edi, 8
	add	eax, 4096
	loop	.level_3
	mov	edi, level_2
	mov	eax, 0x87
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
	or	eax, 1 << 5 | 1 << 9	; PAE, OSFXSR
	mov	cr4, eax
	mov	eax, level_4
	mov	cr3, eax
	mov	ecx, 0xc0000080
	rdmsr
	or	eax, 1 << 8 | 1 << 11	; LME, NXE
	wrmsr
	mov	eax, cr0
	or	eax, 1 << 31 | 1 << 16 | 1	; PG, WP, PE
	mov	cr0, eax
	ret

; Copied to the page that SIPI names. DS is not the code's: take it from CS.
section .rodata
bits 16
trampoline:
	cli
	mov	ax, cs
	mov	ds, ax
	o32 lgdt [.gdt_pointer - trampoline]
	mov	eax, cr0
	or	al, 1
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

; 16 bytes each; a zero where the CPU pushes no error code.
align 16
trap_entries:
%assign v 0
%rep 256
	align 16
%if v = 8 || (v >= 10 && v <= 14) || v = 17 || v = 21 || v = 29 || v = 30
%else
	push	0
%endif
	push	strict dword v
	jmp	near trap_common
%assign v v + 1
%endrep

trap_common:
	push	rax
	push	rcx
	push	rdx
	push	rbx
	push	rbp
	push	rsi
	push	rdi
	push	r8
	push	r9
	push	r10
	push	r11
	push	r12
	push	r13
	push	r14
	push	r15
	mov	rdi, rsp
	mov	rbx, rsp
	and	rsp, -16
	cld
	call	trap
	mov	rsp, rbx
	pop	r15
	pop	r14
	pop	r13
	pop	r12
	pop	r11
	pop	r10
	pop	r9
	pop	r8
	pop	rdi
	pop	rsi
	pop	rbp
	pop	rbx
	pop	rdx
	pop	rcx
	pop	rax
	add	rsp, 16
	iretq

section .note.GNU-stack noalloc noexec nowrite progbits
