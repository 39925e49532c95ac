/* The virtual machine of a domain: what all of its vCPUs share. */
#pragma once

#include <kernel/guest/emulate/bus.h>
#include <kernel/guest/memory/memory.h>
#include <kernel/guest/vcpu/extint.h>
#include <kernel/lib/compiler.h>

struct vcpu;

struct vm {
	struct memory memory;
	struct bus io, mmio;
	struct extint extint;
	u64 refused; /* instructions that Weir does not emulate; atomic */
	u32 nr_vcpus;
	struct vcpu *vcpu[DOMAIN_MAX_VCPUS];
	/* When it started, which is the guest's time 0: in clock_ns() and in TSC ticks. */
	u64 start_ns, start_tsc;
};
