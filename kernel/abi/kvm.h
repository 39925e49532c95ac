/* MSRs of KVM's paravirtual interface that Weir offers to its guests (Linux:
 * Documentation/virt/kvm/x86/msr.rst). */
#pragma once

/* The numbers of the first version, which some kernels use without a look at KVM's features. */
#define MSR_KVM_WALL_CLOCK 0x11
#define MSR_KVM_SYSTEM_TIME 0x12
#define MSR_KVM_WALL_CLOCK_NEW 0x4b564d00
#define MSR_KVM_SYSTEM_TIME_NEW 0x4b564d01
#define MSR_KVM_PV_EOI_EN 0x4b564d04
