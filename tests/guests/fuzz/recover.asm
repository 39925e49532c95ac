; Calls that an exception ends. See recover.c.

global guarded_call, guarded_end, run_with

section .text
bits 64

; guarded_call(fn: RDI, argument: RSI, where to keep RSP: RDX)
guarded_call:
	push	rbx
	push	rbp
	push	r12
	push	r13
	push	r14
	push	r15
	mov	[rdx], rsp
	mov	rax, rdi
	mov	rdi, rsi
	call	rax
; An exception returns here too, with the RSP that was saved.
guarded_end:
	pop	r15
	pop	r14
	pop	r13
	pop	r12
	pop	rbp
	pop	rbx
	ret

; run_with(registers: RDI, IRETQ frame: RSI): load all registers and jump there. Returns only by an
; exception.
run_with:
	mov	rsp, rsi
	mov	rax, [rdi]
	mov	rcx, [rdi + 8]
	mov	rdx, [rdi + 16]
	mov	rbx, [rdi + 24]
	mov	rbp, [rdi + 40]
	mov	rsi, [rdi + 48]
	mov	r8, [rdi + 64]
	mov	r9, [rdi + 72]
	mov	r10, [rdi + 80]
	mov	r11, [rdi + 88]
	mov	r12, [rdi + 96]
	mov	r13, [rdi + 104]
	mov	r14, [rdi + 112]
	mov	r15, [rdi + 120]
	mov	rdi, [rdi + 56]
	iretq

section .note.GNU-stack noalloc noexec nowrite progbits
