/* A guest's processors, I/O APIC and interrupts for kernels without ACPI (Intel, MultiProcessor
 * Specification 1.4). It says what the MADT says (guestacpi.h). */
#pragma once

#include <kernel/lib/compiler.h>
#include <kernel/x86/cpuid.h>

/* The floating pointer, in the BIOS area of a PC (4.1); the configuration table follows. */
#define GUEST_MP_TABLE 0xf0000UL

#define GUEST_MP_TABLE_MAX 1024
/* Build both, to be copied to guest-physical address GUEST_MP_TABLE. `features` is CPUID leaf 1 of
 * the processor. Returns their size in bytes. */
size_t guestmptable_make(u8 buf[GUEST_MP_TABLE_MAX], u32 nr_vcpus, struct cpuid features);
