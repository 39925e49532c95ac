/* Exit handling that is the same for every back end: each function does what the instruction would
 * do, advances over it, or raises the exception it would raise. The exit counters are kept here. */
#pragma once

#include <kernel/guest/vcpu/inject.h>
#include <kernel/guest/vcpu/vcpu.h>

void exit_cpuid(struct vcpu *v);
void exit_rdmsr(struct vcpu *v);
void exit_wrmsr(struct vcpu *v);
/* MOV to CR8, whose source register is taken from the instruction. */
void exit_write_cr8(struct vcpu *v);
void exit_xsetbv(struct vcpu *v);
void exit_hlt(struct vcpu *v);
void exit_hypercall(struct vcpu *v);
/* WBINVD, INVD: caches are coherent for all that a guest can reach, so there is nothing to do. */
void exit_cache_flush(struct vcpu *v);
/* IN or OUT of `size` bytes; next_rip is behind it. */
void exit_io(struct vcpu *v, u16 port, unsigned int size, bool in, u64 next_rip);
/* INS or OUTS; address_size in bytes. One element is done per exit: it is executed again until RCX
 * is 0. */
void exit_string_io(struct vcpu *v, u16 port, unsigned int size, bool in, bool rep,
		    unsigned int address_size, u64 next_rip);

/* An access to guest-physical memory that the nested tables do not allow. */
struct nested_fault {
	gpaddr_t gpa;
	bool write, fetch, table_walk;
};
void exit_nested_fault(struct vcpu *v, const struct nested_fault *f);

/* Handle the exit that v's VMCB describes: what sched_enter() wants on an AMD machine. */
void svm_handle_exit(struct vcpu *v);

/* Go on behind the instruction, whose opcode (without prefixes) is this long. */
void skip_instruction(struct vcpu *v, unsigned int opcode_length);
