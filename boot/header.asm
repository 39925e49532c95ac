; The Multiboot2 header (Multiboot2 Specification 2.0, section 3.1), which must lie in the first
; 32 KiB of the file.

extern boot_entry

section .multiboot2 progbits alloc noexec nowrite align=8

MAGIC		equ 0xe85250d6
ARCH_I386	equ 0

header:
	dd MAGIC
	dd ARCH_I386
	dd header_end - header
	dd 0x100000000 - (MAGIC + ARCH_I386 + (header_end - header))

	; Entry address tag: a physical address, which overrides that of the ELF header.
	align 8
	dw 3
	dw 0
	dd 12
	dd boot_entry

	; Modules on page boundaries, so that a frame never holds parts of two.
	align 8
	dw 6
	dw 0
	dd 8

	; Information request: the loader must know the tags for command line, modules, memory map.
	align 8
	dw 1
	dw 0
	dd info_end - ($ - 4)
	dd 1
	dd 3
	dd 6
info_end:

	align 8
	dw 0
	dw 0
	dd 8
header_end:

section .note.GNU-stack noalloc noexec nowrite progbits
