/* The wire from a PC's interrupt controllers (8259A) to its processors. The vector of such an
 * interrupt comes from the controllers, when the processor acknowledges it, and no APIC holds it
 * back (SDM vol. 3, 11.5.1, delivery mode ExtINT).
 *
 * It leads to LINT0 of vCPU 0, or, while IA32_APIC_BASE disables its APIC, directly to it; and to
 * those vCPUs to which an I/O APIC passes it on. */
#pragma once

#include <kernel/lib/compiler.h>

struct vcpu;
struct vm;

/* The controllers. Called on the CPU of a vCPU, without locks. */
struct extint_ops {
	/* The vector of the interrupt that would be acknowledged now, which is then on its way; -1:
	 * there is none. */
	int (*offer)(void *ctx);
	/* The offered interrupt was acknowledged, or else is pending as before. */
	void (*settle)(void *ctx, bool taken);
	/* `look` is set, and v is about to enter. An interrupt may have been offered. */
	void (*before_entry)(void *ctx, struct vcpu *v);
	/* A vCPU has ended a level-triggered interrupt of its APIC with this vector. */
	void (*end_of_interrupt)(void *ctx, u8 vector);
};

struct extint {
	const struct extint_ops *ops; /* NULL: there are no controllers */
	void *ctx;
	u32 targets; /* vCPUs, by bit, that an I/O APIC passes it on to */
	union {
		struct {
			bool raised; /* the wire */
			bool look; /* call before_entry() */
		};
		u16 attention; /* not 0: the next entry must look at one of them */
	};
};

/* Set the wire. An interrupt that was made pending before is seen. Any CPU, any context. */
void extint_set(struct vm *vm, bool raised);
/* An I/O APIC passes the wire on to these vCPUs, by bit. Any CPU, any context. */
void extint_set_targets(struct vm *vm, u32 targets);
/* True if v would acknowledge an interrupt. v's own CPU, or with its scheduler's lock. */
bool extint_is_pending(const struct vcpu *v);
/* Before an entry: the vector that v takes next, or -1. */
int extint_offer(struct vcpu *v);
/* After the exit, if one was offered. */
void extint_settle(struct vcpu *v, bool taken);
/* Before each entry, when an interrupt may have been offered. */
void extint_before_entry(struct vcpu *v);
