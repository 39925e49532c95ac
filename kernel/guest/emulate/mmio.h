/* Instructions that touch guest-physical memory where no RAM is: decoded and carried out on the
 * domain's memory bus. */
#pragma once

#include <kernel/lib/compiler.h>
#include <kernel/lib/types.h>

struct vcpu;

/* Emulate the instruction at RIP, which touched gpa. 0: done and advanced over, or an exception was
 * injected; -EAGAIN: the vCPU was parked, to be executed again; -EINVAL: not an instruction that is
 * known, with `why` filled in (one line, the bytes in it). */
int __must_check mmio_emulate(struct vcpu *v, gpaddr_t gpa, char *why, size_t why_size);
