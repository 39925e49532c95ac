/* Exit handling that is the same for every back end: each function does what the instruction would
 * do, advances over it, or raises the exception it would raise. The exit counters are kept here. */
#pragma once

#include <kernel/guest/vcpu/inject.h>
#include <kernel/guest/vcpu/vcpu.h>

void exit_cpuid(struct vcpu *v);
void exit_rdmsr(struct vcpu *v);
void exit_wrmsr(struct vcpu *v);
/* MOV to CR4 or CR8 from this enum guest_register; < 0 if the instruction is not that any more. */
void exit_write_cr4(struct vcpu *v, int source);
void exit_write_cr8(struct vcpu *v, int source);
void exit_xsetbv(struct vcpu *v);
void exit_hlt(struct vcpu *v);
void exit_hypercall(struct vcpu *v);
/* WBINVD, INVD: caches are coherent for all that a guest can reach, so there is nothing to do. */
void exit_cache_flush(struct vcpu *v);
/* An access to guest-physical memory that the nested tables do not allow. */
struct nested_fault {
	gpaddr_t gpa;
	bool write, fetch, table_walk;
	int delivering; /* the vector of the event that was being delivered; < 0: none */
};
void exit_nested_fault(struct vcpu *v, const struct nested_fault *f);

/* v ends its domain by what it has just done: log its state and its last exits. Called before the
 * line that says why. */
void exit_log_state(struct vcpu *v);

/* Advance RIP over the instruction, whose opcode (without prefixes) has this many bytes. */
void skip_instruction(struct vcpu *v, unsigned int opcode_length);
