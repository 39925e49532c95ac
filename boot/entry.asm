; From GRUB's 32-bit protected mode, with paging off (Multiboot2, section 3.3), to 64-bit C in the
; higher half.
;
;	EAX magic, EBX boot information (physical)
;
; The tables made here map the first 4 GiB three times: at 0 (where this code runs), in the direct
; map and, the first 1 GiB of it, at the image's own address. kernel/core/paging.c replaces them.

%include "kernel/core/layout.inc"

extern boot_main

global boot_entry
global boot_stack_guard
global boot_stack_top

section .boot progbits alloc exec nowrite align=16
bits 32

boot_entry:
	cli
	cld
	mov esp, PHYS(boot_stack_top)
	mov esi, eax
	mov edi, ebx

	; CPUID itself: can the ID flag be changed? SDM vol. 1, 20.1.
	pushfd
	pop eax
	mov ecx, eax
	xor eax, RFLAGS_ID
	push eax
	popfd
	pushfd
	pop eax
	xor eax, ecx
	jz no_long_mode

	mov eax, 0x80000000
	cpuid
	cmp eax, 0x80000001
	jb no_long_mode
	mov eax, 0x80000001
	cpuid
	test edx, CPUID80000001_EDX_LM
	jz no_long_mode
	test edx, CPUID80000001_EDX_NX
	jz no_nx

	; Four page directories of 2 MiB pages.
	mov eax, PTE_P | PTE_W | PTE_PS
	mov ebx, PHYS(boot_pd)
	mov ecx, 4 * 512
.fill:
	mov [ebx], eax
	mov dword [ebx + 4], 0
	add eax, 0x200000
	add ebx, 8
	loop .fill

	mov eax, PHYS(boot_pd) + (PTE_P | PTE_W)
	mov ebx, PHYS(boot_pdpt_low)
	mov ecx, 4
.pdpt:
	mov [ebx], eax
	add eax, PAGE_SIZE
	add ebx, 8
	loop .pdpt

	mov dword [PHYS(boot_pdpt_image) + 510 * 8], PHYS(boot_pd) + (PTE_P | PTE_W)
	mov dword [PHYS(boot_pml4) + 0 * 8], PHYS(boot_pdpt_low) + (PTE_P | PTE_W)
	mov dword [PHYS(boot_pml4) + 256 * 8], PHYS(boot_pdpt_low) + (PTE_P | PTE_W)
	mov dword [PHYS(boot_pml4) + 511 * 8], PHYS(boot_pdpt_image) + (PTE_P | PTE_W)

	mov eax, cr4
	or eax, CR4_PAE
	mov cr4, eax
	mov eax, PHYS(boot_pml4)
	mov cr3, eax
	mov ecx, MSR_EFER
	rdmsr
	or eax, EFER_LME | EFER_NXE
	wrmsr
	mov eax, cr0
	or eax, CR0_PG | CR0_WP | CR0_NE | CR0_MP
	mov cr0, eax

	lgdt [boot_gdt_pointer]
	jmp BOOT_CS64:long_mode

no_long_mode:
	mov esi, text_no_long_mode
	jmp complain
no_nx:
	mov esi, text_no_nx

; Print the string at ESI on COM1, set up for 115200 baud, and stop.
complain:
	mov dx, 0x3fb
	mov al, 0x80
	out dx, al
	mov dx, 0x3f8
	mov al, 1
	out dx, al
	mov dx, 0x3f9
	xor al, al
	out dx, al
	mov dx, 0x3fb
	mov al, 0x03
	out dx, al
.next:
	lodsb
	test al, al
	jz .stop
	mov ah, al
	mov ecx, 1000000
	mov dx, 0x3fd
.wait:
	in al, dx
	test al, 0x20
	jnz .send
	loop .wait
.send:
	mov dx, 0x3f8
	mov al, ah
	out dx, al
	jmp .next
.stop:
	hlt
	jmp .stop

bits 64
long_mode:
	mov ax, BOOT_DS
	mov ds, ax
	mov es, ax
	mov ss, ax
	xor eax, eax
	mov fs, ax
	mov gs, ax
	mov rax, boot_entry64
	jmp rax

section .text progbits alloc exec nowrite align=16
boot_entry64:
	mov rsp, boot_stack_top
	xor ebp, ebp		; ends a backtrace
	mov eax, esi
	mov esi, edi		; zero-extends both arguments
	mov edi, eax
	call boot_main
	ud2

section .boot.data progbits alloc noexec nowrite align=8
boot_gdt:
	dq 0
	dq GDT_CODE64
	dq GDT_DATA
boot_gdt_pointer:
	dw $ - boot_gdt - 1
	dd boot_gdt

text_no_long_mode:
	db "error: weir: this CPU has no 64-bit mode; Weir needs an x86-64 CPU", 13, 10, 0
text_no_nx:
	db "error: weir: this CPU has no no-execute pages (NX); "
	db "enable it in the firmware's setup", 13, 10, 0

section .bss align=4096
; Unmapped as soon as the real tables are in place, so that an overflow faults.
boot_stack_guard:
	resb PAGE_SIZE
	resb BOOT_STACK_SIZE
boot_stack_top:
boot_pml4:
	resb PAGE_SIZE
boot_pdpt_low:
	resb PAGE_SIZE
boot_pdpt_image:
	resb PAGE_SIZE
boot_pd:
	resb 4 * PAGE_SIZE

section .note.GNU-stack noalloc noexec nowrite progbits
