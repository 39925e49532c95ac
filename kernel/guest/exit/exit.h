/* Exit handling that is the same for every back end: each function does what the instruction would
 * do, or raises the exception it would raise. True: it has been executed, and the back end advances
 * over it. False: an exception is raised, or the guest executes it again. The exit counters are
 * kept here. */
#pragma once

#include <kernel/guest/vcpu/inject.h>
#include <kernel/guest/vcpu/vcpu.h>

void exit_cpuid(struct vcpu *v); /* always executed */
bool exit_rdmsr(struct vcpu *v);
bool exit_wrmsr(struct vcpu *v);
/* MOV to CR4 or CR8 from this enum guest_register; < 0 if the instruction is not that any more. */
bool exit_write_cr4(struct vcpu *v, int source);
bool exit_write_cr8(struct vcpu *v, int source);
bool exit_xsetbv(struct vcpu *v);
/* The back end has advanced over it: the next entry may raise the #DB of a single step. */
void exit_hlt(struct vcpu *v);
/* WBINVD, INVD: caches are coherent for all that a guest can reach, so there is nothing to do. */
bool exit_cache_flush(struct vcpu *v);
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
