; Entry: a 32-bit entry point for both PVH (EBX = hvm_start_info) and Multiboot (EAX = 0x2BADB002,
; EBX = its information). Builds page tables that identity-map the first 4 GiB, switches to long
; mode and calls runtime_main().

%include "kernel/x86/constants.inc"

%define STACK_SIZE 0x10000

extern image_start, data_end, bss_end, runtime_main
global start32, start_magic, start_information, pml4, pdpt

section .multiboot progbits alloc noexec align=8
; modules on page boundaries, memory map, addresses in this header
MULTIBOOT_FLAGS equ (1 << 0) | (1 << 1) | (1 << 16)
multiboot_header:
	dd 0x1badb002
	dd MULTIBOOT_FLAGS
	dd -(0x1badb002 + MULTIBOOT_FLAGS)
	dd multiboot_header, image_start, data_end, bss_end, start32

section .note.Xen note alloc noexec align=4
	dd 4, 4, 18 ; XEN_ELFNOTE_PHYS32_ENTRY
	db "Xen", 0
	dd start32

section .text.start progbits alloc exec align=16
bits 32
start32:
	cli
	cld
	mov esp, stack_top
	mov [start_magic], eax
	mov [start_information], ebx

	; 2048 entries of 2 MiB in four consecutive tables. The last GiB (device registers) is
	; uncached.
	mov edi, page_directories
	mov eax, PTE_P | PTE_W | PTE_PS
	xor ecx, ecx
.fill:
	mov [edi + ecx * 8], eax
	mov dword [edi + ecx * 8 + 4], 0
	add eax, 0x200000
	inc ecx
	cmp ecx, 3 * 512
	jne .cached
	or eax, PTE_PWT | PTE_PCD
.cached:
	cmp ecx, 4 * 512
	jne .fill

	mov eax, page_directories + (PTE_P | PTE_W)
	xor ecx, ecx
.link:
	mov [pdpt + ecx * 8], eax
	add eax, PAGE_SIZE
	inc ecx
	cmp ecx, 4
	jne .link
	mov dword [pml4], pdpt + (PTE_P | PTE_W)

	mov eax, cr4
	or eax, CR4_PAE
	mov cr4, eax
	mov eax, pml4
	mov cr3, eax
	mov ecx, MSR_EFER
	rdmsr
	or eax, EFER_LME
	wrmsr
	mov eax, cr0
	or eax, CR0_PG | CR0_WP | CR0_NE | CR0_MP | CR0_PE
	mov cr0, eax
	lgdt [gdt_pointer]
	jmp 0x08:start64

bits 64
start64:
	mov eax, 0x10
	mov ds, eax
	mov es, eax
	mov ss, eax
	xor eax, eax
	mov fs, eax
	mov gs, eax
	mov rsp, stack_top
	xor ebp, ebp
	call runtime_main
.stop:
	cli
	hlt
	jmp .stop

section .rodata progbits alloc noexec align=8
gdt:
	dq 0
	dq GDT_CODE64 ; 0x08
	dq GDT_DATA ; 0x10
gdt_pointer:
	dw gdt_pointer - gdt - 1
	dq gdt

section .data progbits alloc write align=8
start_magic: dd 0
start_information: dd 0

section .bss nobits alloc write align=4096
pml4: resb PAGE_SIZE
pdpt: resb PAGE_SIZE
page_directories: resb 4 * PAGE_SIZE
stack: resb STACK_SIZE
stack_top:
