/* Addresses and registers as an instruction's operands name them. On the vCPU's own CPU, between
 * exit and entry. */
#pragma once

#include <kernel/guest/emulate/decode.h>

/* The linear address of an offset in a segment, in code of this size. */
u64 address_linear(struct vcpu *v, unsigned int bits, unsigned int segment, u64 offset);
/* The linear address of the instruction's memory operand. */
u64 address_effective(struct vcpu *v, unsigned int bits, const struct insn *insn);
/* The width of the stack pointer, in bytes: 2, 4 or 8. */
unsigned int address_stack_size(struct vcpu *v, unsigned int bits);

/* The lowest `size` bytes of a register; `high`: bits 15:8. */
u64 register_get(const struct vcpu *v, unsigned int reg, unsigned int size, bool high);
/* Writing 4 bytes clears the upper half (SDM vol. 1, 3.4.1.1). */
void register_set(struct vcpu *v, unsigned int reg, unsigned int size, bool high, u64 value);
/* Add n, modulo 2^(8 * size), to its lowest `size` bytes; otherwise like register_set(). */
void register_add(struct vcpu *v, unsigned int reg, unsigned int size, u64 n);
