/* From GRUB's module lines to running domains. */
#pragma once

#include <iommu/identity.h>
#include <kernel/lib/compiler.h>

struct boot_info;

struct build_options {
	enum identity_policy control_iommu; /* what the control domain's devices reach */
	bool fail_allocations; /* debug builds: the n'th domain's n'th allocation fails */
};

/* Build and start a domain for each kernel line. What is wrong with a line, or cannot be had, is
 * said in one line of the log that names the module; that domain is left out, the others start.
 * Frees the memory of the modules that no domain keeps. Boot, after everything else is up. */
void build_domains(const struct boot_info *info, const struct build_options *options);
