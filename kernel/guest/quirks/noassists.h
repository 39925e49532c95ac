/* For SVM without "next RIP" and without decode assists (APM 2, 15.7.1 and 15.8), as QEMU 10.0 and
 * AMD's oldest processors with SVM have it: what an exit does not say is read from the
 * instruction. Each caller tests for the feature. The vCPU's own CPU, in an exit. */
#pragma once

#include <kernel/guest/vcpu/backend.h>

/* Where the next instruction is, if this one's opcode without prefixes is this long. */
u64 noassists_next_rip(struct vcpu *v, unsigned int opcode_length);
/* The segment of the OUTS at RIP. */
enum guest_segment noassists_outs_segment(struct vcpu *v);
/* The register that the MOV to CR8 at RIP reads: enum guest_register, or -ENOENT if something else
 * stands there. */
int noassists_cr8_source(struct vcpu *v);
