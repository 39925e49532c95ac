; Entry of every exception and interrupt: makes a struct trap_frame (kernel/core/idt.h) and calls
; trap().
;
; No SWAPGS is needed, because GS base is always the hypervisor's here: in guest mode exceptions and
; interrupts cause exits, and between an exit and the reload of the host's state all are blocked.

global trap_stubs
extern trap

section .text progbits alloc exec nowrite align=16
bits 64

; 16 bytes each. Exceptions 8, 10-14, 17, 21, 29 and 30 push an error code: SDM vol. 3, table 6-1
; and APM vol. 2, 8.2.
trap_stubs:
%assign v 0
%rep 256
	align 16
%if v = 8 || (v >= 10 && v <= 14) || v = 17 || v = 21 || v = 29 || v = 30
%else
	push 0
%endif
	push strict dword v
	jmp near trap_common
%assign v v + 1
%endrep

trap_common:
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
	cld
	mov rdi, rsp
	mov rbx, rsp
	and rsp, -16
	; A stack frame with the interrupted code's return address and frame pointer, so that a
	; backtrace continues there.
	push qword [rbx + 17 * 8]
	push qword [rbx + 10 * 8]
	mov rbp, rsp
	call trap
	mov rsp, rbx
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

section .note.GNU-stack noalloc noexec nowrite progbits
