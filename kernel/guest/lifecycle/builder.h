/* From GRUB's module lines to running domains. */
#pragma once

#include <iommu/identity.h>
#include <kernel/lib/compiler.h>

struct boot_info;

struct build_options {
	enum identity_policy control_iommu; /* what the control domain's devices can reach */
	bool fail_allocations; /* debug builds: the n'th domain's n'th allocation fails */
};

/* Begin to build and start a domain for each kernel line, and to free the memory of modules that no
 * domain keeps. CPUs that have nothing else to do go on with it; ready() is called when all is
 * done. If a domain cannot be built, one line of the log names the module and the reason, and the
 * others start. Boot, after everything else is up. */
void build_domains(const struct boot_info *info, const struct build_options *options,
		   void (*ready)(void));
