/* The start of a domain, at boot and at a restart. */
#pragma once

#include <iommu/identity.h>
#include <kernel/guest/memory/nested.h>
#include <kernel/guest/vcpu/entry.h>
#include <kernel/lib/compiler.h>
#include <kernel/lib/step.h>

struct domain;

enum start_stage {
	START_RECORD,
	START_MEMORY,
	START_CLEAR_BEGIN,
	START_CLEAR,
	START_IDENTITY,
	START_LOAD,
	START_DEVICES,
	START_RUN,
	START_DONE, /* it runs, or was left out */
};

/* A domain that is being built and started. */
struct start {
	u32 module; /* its kernel line */
	enum start_stage stage;
	struct domain *domain; /* NULL: there is no record yet */
	u32 cpu[DOMAIN_MAX_VCPUS]; /* of its vCPUs */
	gfn_t gfn; /* its memory below is built; then, mapped for the control domain's devices */
	u64 loaded; /* bytes of its files, so far */
	bool assigned; /* its devices are being attached */
	struct guest_entry entry;
};

/* Take one bounded step of the start. What cannot be had is said in the log, and the domain is left
 * out. STEP_WAIT: call again later. Boot. */
enum step start_step(struct start *s, enum identity_policy policy);

/* Load a bounded part of its kernel and ramdisks, and then its firmware, into its memory, which is
 * zero. *done counts what is done and begins at 0. Returns a step (STEP_DONE: *entry is valid), or
 * an error, which the log explains. */
int __must_check start_load_step(struct domain *d, u64 *done, struct guest_entry *entry);
/* Reset the emulated devices and the vCPUs to their state after power-on, and start the first vCPU.
 * Its devices are attached already. */
void start_run(struct domain *d, const struct guest_entry *entry);
