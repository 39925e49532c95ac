/* For SVM without "next RIP" or decode assists (APM volume 2, 15.7.1 and 15.8), as in QEMU 10.0 and
 * AMD's oldest processors with SVM: decodes the instruction to find what the exit does not report.
 * Each caller checks for the feature. On the vCPU's own CPU, in an exit. */
#pragma once

#include <kernel/guest/vcpu/backend.h>

/* How many of these bytes of the instruction at RIP are prefixes. */
unsigned int noassists_prefixes(struct vcpu *v, const u8 *bytes, unsigned int nr);
/* The address of the next instruction. opcode_length: bytes of this instruction without its
 * prefixes. */
u64 noassists_next_rip(struct vcpu *v, unsigned int opcode_length);
/* The source segment of the OUTS at RIP. */
enum guest_segment noassists_outs_segment(struct vcpu *v);
/* The register that the MOV to control register `cr` at RIP reads: enum guest_register, or -ENOENT
 * if there is another instruction at RIP. */
int noassists_cr_source(struct vcpu *v, unsigned int cr);
