; One stub for each of the 256 vectors: brings every one to the same frame (struct trap_frame) and calls trap().
extern trap
global trap_stubs

section .text
bits 64
%assign v 0
%rep 256
stub_ %+ v:
%if v == 8 || (v >= 10 && v <= 14) || v == 17 || v == 21 || v == 29 || v == 30
	; the processor has pushed an error code
%else
	push 0
%endif
	push v
	jmp near save_and_call
%assign v v + 1
%endrep

save_and_call:
	push rax
	push rcx
	push rdx
	push rbx
	push rbp
	push rsi
	push rdi
	push r8
	push r9
	push r10
	push r11
	push r12
	push r13
	push r14
	push r15
	mov rdi, rsp
	cld
	call trap
	pop r15
	pop r14
	pop r13
	pop r12
	pop r11
	pop r10
	pop r9
	pop r8
	pop rdi
	pop rsi
	pop rbp
	pop rbx
	pop rdx
	pop rcx
	pop rax
	add rsp, 16
	iretq

section .rodata align=8
trap_stubs:
%assign v 0
%rep 256
	dq stub_ %+ v
%assign v v + 1
%endrep
