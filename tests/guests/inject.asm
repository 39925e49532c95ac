; The modes of tests/guests/test_inject.c: runs code in real mode, in 32-bit and in 64-bit mode,
; with handlers that note each event, and returns to C. All modes see the same addresses of data.

%include "kernel/x86/constants.inc"
%include "kernel/x86/trap.inc"

extern level_4

; Selectors of the GDT.
CODE64	equ 0x08
DATA	equ 0x10
CODE32	equ 0x18
CODE16	equ 0x20
DATA16	equ 0x28
TSS	equ 0x30
; From here 16-bit code runs, in a segment with base 0: with another base, an instruction breakpoint
; crashes QEMU 10.0, which compares it with RIP.
LOW	equ 0x1000
LOW_STACK equ 0x7f00 ; 16-bit code has its data behind it, too
BUFFER	equ 0x7f80

NOWHERE	equ 0xfe000000 ; trapped memory without a device
UNMAPPED equ 0x50000000
PORT	equ 0x80 ; nothing is there
INTERRUPT equ 0x51

NONE	equ 0xff
; The exceptions after which a case does not continue at RIP.
FAULTS	equ ~(1 << EXC_DB | 1 << EXC_NMI | 1 << EXC_BP | 1 << EXC_OF) & 0xffffffff
NR_STUBS equ 32

NR_EVENTS equ 6
EVENT_SIZE equ 24

%macro WRITE_MSR 2 ; MSR, value. Uses EAX, ECX and EDX
	mov ecx, %1
	mov eax, %2
	xor edx, edx
	wrmsr
%endmacro

section .bss
global inject_nr, inject_events, inject_resume, inject_idt, inject_gdt_pointer, inject_pae
alignb 4096
inject_pae:	resb 32
inject_nr:	resd 1
inject_events:	resb NR_EVENTS * EVENT_SIZE
inject_resume:	resd 1
; Pointers to the tables of a mode: all entries, those below #GP, none; the same with task gates.
inject_idt:
idt_all:	resb 10
idt_short:	resb 10
idt_none:	resb 10
idt_tasks:	resb 10
idt_short_tasks: resb 10
inject_gdt_pointer: resb 10
saved_gdt:	resb 10
saved_rsp:	resq 1

section .rodata.inject_low progbits alloc noexec nowrite align=16
global inject_low, inject_low_end
inject_low:

; --- entering and leaving -----------------------------------------------------

; void inject_run_16(u32 entry), inject_run_32(), inject_run_64(): calls this code. Interrupts are
; off, and inject_idt points to the tables of this mode.
section .text
bits 64
%macro ENTER_MODE 0
	push rbx
	push rbp
	push r12
	push r13
	push r14
	push r15
	mov [saved_rsp], rsp
	sgdt [saved_gdt]
	lgdt [inject_gdt_pointer]
%endmacro

%macro LEAVE_MODE 0
	mov rsp, [saved_rsp]
	lgdt [saved_gdt]
	pop r15
	pop r14
	pop r13
	pop r12
	pop rbp
	pop rbx
	ret
%endmacro

global inject_run_64
inject_run_64:
	ENTER_MODE
	lidt [idt_all]
	mov eax, edi
	call rax
	LEAVE_MODE

global inject_run_32
inject_run_32:
	ENTER_MODE
	mov ebp, edi
	push CODE32
	push .compatible
	retfq
bits 32
.compatible:
	call long_mode_off
	mov eax, inject_pae
	mov cr3, eax
	mov eax, cr0
	or eax, CR0_PG
	mov cr0, eax
	mov eax, TSS
	ltr ax
	lidt [idt_all]
	mov esp, LOW_STACK
	call ebp
	mov eax, cr0
	and eax, ~(CR0_PG | CR0_TS)
	mov cr0, eax
	jmp long_mode_on

bits 64
global inject_run_16
inject_run_16:
	ENTER_MODE
	mov ebp, edi
	push CODE32
	push .compatible
	retfq
bits 32
.compatible:
	call long_mode_off
	jmp CODE16:protected_16 - inject_low + LOW

section .rodata.inject_low
bits 16
protected_16:
	mov ax, DATA16
	mov ss, ax
	mov eax, cr0
	and al, ~CR0_PE
	mov cr0, eax
	jmp 0:.real - inject_low + LOW
; DS and ES keep the base of 0 and the limit of 4 GiB.
.real:
	xor eax, eax
	mov ss, ax
	mov esp, LOW_STACK
	o32 lidt [dword idt_all]
	call bp
	mov eax, cr0
	or al, CR0_PE
	mov cr0, eax
	jmp dword CODE32:long_mode_on

section .text
bits 32
; From compatibility mode to 32-bit mode without paging. Uses EAX, ECX and EDX.
long_mode_off:
	mov eax, DATA
	mov ss, eax
	mov ds, eax
	mov es, eax
	mov eax, cr0
	and eax, ~CR0_PG
	mov cr0, eax
	mov ecx, MSR_EFER
	rdmsr
	and eax, ~EFER_LME
	wrmsr
	ret

; Back, and to the caller of inject_run.
long_mode_on:
	mov eax, DATA
	mov ss, eax
	mov ds, eax
	mov es, eax
	mov ecx, MSR_EFER
	rdmsr
	or eax, EFER_LME
	wrmsr
	mov eax, level_4
	mov cr3, eax
	mov eax, cr0
	or eax, CR0_PG
	mov cr0, eax
	jmp CODE64:.long
bits 64
.long:
	LEAVE_MODE

; --- the modes ----------------------------------------------------------------

%include "tests/guests/inject_macros.inc"

%define MODE 16
%include "tests/guests/inject_mode.inc"
%define MODE 32
%include "tests/guests/inject_mode.inc"
%define MODE 64
%include "tests/guests/inject_mode.inc"

section .rodata.inject_low
inject_low_end:

; --- tasks --------------------------------------------------------------------

; A task of 32-bit mode that takes one event, with the main task's TSS at inject_tss.
extern inject_tss
TSS_EIP equ 32
TSS_EFLAGS equ 36

section .text
bits 32
%macro TASK 2 ; name, vector
global inject_task_%1
inject_task_%1:
%if %2 = INTERRUPT || !PUSHES_ERROR(%2)
	push 0
%endif
	mov eax, %2
	jmp take_event
%endmacro

	TASK ud, EXC_UD
	TASK df, EXC_DF
	TASK gp, EXC_GP
	TASK interrupt, INTERRUPT
take_event:
	pop ecx
	mov esi, [inject_tss + TSS_EIP]
	mov edx, [inject_tss + TSS_EFLAGS]
	call inject_32_note
	mov [inject_tss + TSS_EIP], esi
	mov [inject_tss + TSS_EFLAGS], edx
	iretd

section .note.GNU-stack noalloc noexec nowrite progbits
