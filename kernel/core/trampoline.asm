; Where an application processor starts after the start-up IPI (SDM vol. 3, 9.4): in real mode, with
; CS:IP = page:0000. kernel/core/smp.c copies this code to a page below 1 MiB that is mapped at its
; own address, and fills in the words at its end. The code goes straight from real mode to 64-bit
; mode: once CR4.PAE, CR3 and EFER.LME are set, one write of CR0 is enough.

%include "kernel/core/layout.inc"

global trampoline_start
global trampoline_end
global trampoline_words

section .rodata progbits alloc noexec nowrite align=16
bits 16

trampoline_start:
	cli
	cld
	mov ax, cs
	mov ds, ax
	movzx ebx, ax
	shl ebx, 4		; linear address of this page

	; The far pointer and the GDT pointer need it too.
	lea eax, [ebx + (ap_long_mode - trampoline_start)]
	mov [ap_far - trampoline_start], eax
	lea eax, [ebx + (ap_gdt - trampoline_start)]
	mov [ap_gdt_pointer + 2 - trampoline_start], eax

	mov eax, cr4
	or eax, CR4_PAE
	mov cr4, eax
	mov eax, [word_cr3 - trampoline_start]
	mov cr3, eax
	mov ecx, MSR_EFER
	rdmsr
	or eax, EFER_LME | EFER_NXE
	wrmsr
	lgdt [ap_gdt_pointer - trampoline_start]
	mov eax, CR0_PE | CR0_MP | CR0_NE | CR0_WP | CR0_PG
	mov cr0, eax
	jmp dword far [ap_far - trampoline_start]

bits 64
ap_long_mode:
	mov ax, BOOT_DS
	mov ds, ax
	mov es, ax
	mov ss, ax
	xor eax, eax
	mov fs, ax
	mov gs, ax
	mov rsp, [rel word_stack]
	mov rdi, [rel word_argument]
	xor ebp, ebp
	mov rax, [rel word_entry]
	push rbp		; as a call would have left the stack
	jmp rax

	align 8
ap_gdt:
	dq 0
	dq GDT_CODE64
	dq GDT_DATA
ap_gdt_pointer:
	dw $ - ap_gdt - 1
	dd 0
ap_far:
	dd 0
	dw BOOT_CS64

	align 8
; struct trampoline_words in kernel/core/smp.c.
trampoline_words:
word_cr3:
	dq 0
word_stack:
	dq 0
word_entry:
	dq 0
word_argument:
	dq 0
trampoline_end:

section .note.GNU-stack noalloc noexec nowrite progbits
