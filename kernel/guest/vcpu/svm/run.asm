; The world switch (APM 2, 15.5).
;
; VMRUN and #VMEXIT swap RIP, RSP, RAX, RFLAGS, the control registers and CS, SS, DS, ES. VMLOAD and
; VMSAVE swap the rest of the segment state: FS, GS, TR, LDTR, KernelGSBase, STAR..., SYSENTER. This
; function swaps the other general registers.

default rel
bits 64
section .text progbits alloc exec nowrite align=16

extern speculation_fill_rsb
global svm_world_switch

RSB_ENTRIES equ 32

; void svm_world_switch(u64 *reg, paddr_t guest_vmcb, paddr_t host_vmcb)
; reg[16] is in ModRM order; RAX and RSP are in the VMCB.
svm_world_switch:
	push	rbp
	push	rbx
	push	r12
	push	r13
	push	r14
	push	r15
	push	rdi			; registers
	push	rdx			; host VMCB

	; From here to STGI, this CPU takes no interrupts. IF is set while GIF = 0, since the host's
	; IF allows physical interrupts to cause an exit (V_INTR_MASKING, APM 2, 15.21.1).
	clgi
	sti

	mov	rax, rsi
	vmload
	mov	rcx, [rdi + 8 * 1]
	mov	rdx, [rdi + 8 * 2]
	mov	rbx, [rdi + 8 * 3]
	mov	rbp, [rdi + 8 * 5]
	mov	rsi, [rdi + 8 * 6]
	mov	r8,  [rdi + 8 * 8]
	mov	r9,  [rdi + 8 * 9]
	mov	r10, [rdi + 8 * 10]
	mov	r11, [rdi + 8 * 11]
	mov	r12, [rdi + 8 * 12]
	mov	r13, [rdi + 8 * 13]
	mov	r14, [rdi + 8 * 14]
	mov	r15, [rdi + 8 * 15]
	mov	rdi, [rdi + 8 * 7]
	vmrun

	; #VMEXIT has restored RAX, the guest VMCB (15.6).
	vmsave
	pop	rax			; host VMCB
	vmload
	pop	rax			; registers
	mov	[rax + 8 * 1], rcx
	mov	[rax + 8 * 2], rdx
	mov	[rax + 8 * 3], rbx
	mov	[rax + 8 * 5], rbp
	mov	[rax + 8 * 6], rsi
	mov	[rax + 8 * 7], rdi
	mov	[rax + 8 * 8], r8
	mov	[rax + 8 * 9], r9
	mov	[rax + 8 * 10], r10
	mov	[rax + 8 * 11], r11
	mov	[rax + 8 * 12], r12
	mov	[rax + 8 * 13], r13
	mov	[rax + 8 * 14], r14
	mov	[rax + 8 * 15], r15
	cli
	stgi

	; Fill the return stack buffer, so that no RET below is predicted by what the guest has
	; left there. The LFENCE ends a wrong prediction of the branch.
	test	byte [speculation_fill_rsb], 1
	jz	.filled
%rep RSB_ENTRIES
	call	$ + 6			; over the INT3, where speculation stops
	int3
%endrep
	add	rsp, 8 * RSB_ENTRIES
.filled:
	lfence

	; Leave no guest values in registers, where speculation could use them.
	xor	ecx, ecx
	xor	edx, edx
	xor	esi, esi
	xor	edi, edi
	xor	r8d, r8d
	xor	r9d, r9d
	xor	r10d, r10d
	xor	r11d, r11d
	pop	r15
	pop	r14
	pop	r13
	pop	r12
	pop	rbx
	pop	rbp
	ret

section .note.GNU-stack noalloc noexec nowrite progbits
