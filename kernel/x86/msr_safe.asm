; MSR accesses that may fault; kernel/core/idt.c knows these addresses and goes on at the second one.

global rdmsr_safe
global rdmsr_safe_insn
global rdmsr_safe_fault
global wrmsr_safe
global wrmsr_safe_insn
global wrmsr_safe_fault

section .text progbits alloc exec nowrite align=16
bits 64

; bool rdmsr_safe(u32 msr, u64 *value)
rdmsr_safe:
	mov ecx, edi
rdmsr_safe_insn:
	rdmsr
	shl rdx, 32
	or rax, rdx
	mov [rsi], rax
	mov eax, 1
	ret
rdmsr_safe_fault:
	xor eax, eax
	ret

; bool wrmsr_safe(u32 msr, u64 value)
wrmsr_safe:
	mov ecx, edi
	mov eax, esi
	mov rdx, rsi
	shr rdx, 32
wrmsr_safe_insn:
	wrmsr
	mov eax, 1
	ret
wrmsr_safe_fault:
	xor eax, eax
	ret

section .note.GNU-stack noalloc noexec nowrite progbits
