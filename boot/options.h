/* The words on Weir's own command line; docs/command-line.md tells them to the administrator. */
#pragma once

#include <kernel/lib/compiler.h>
#include <kernel/core/debugexit.h>
#include <kernel/core/log.h>
#include <kernel/guest/lifecycle/builder.h>
#include <kernel/lib/pci_id.h>

#define OPTIONS_SRIOV 4

struct options {
	u16 console; /* I/O port of the UART that gets the log; 0: none */
	enum log_level loglevel;
	bool iommu_off; /* iommu=off */
	bool no_intremap; /* iommu=nointremap */
	struct build_options build; /* control-iommu=, fail-alloc=builds */
	u32 max_cpus; /* maxcpus=N */
	u32 irq_limit; /* irq-limit=N: interrupts a second that a domain's device may raise; 0: any number */
	struct {
		struct pci_id device;
		u32 nr;
	} sriov[OPTIONS_SRIOV]; /* sriov=DEVICE,N: its first N virtual functions are switched on; N = 0: the entry is free */
	bool x2apic_off; /* x2apic=off */
	enum debug_exit exit_at; /* exit=ready, exit=idle: when to end QEMU */
#ifdef WEIR_DEBUG
	u64 fail_every; /* fail-alloc=N: each N'th allocation fails once Weir is ready */
	u32 late_posts, late_answers; /* milliseconds: iommu/late.h */
#endif
	bool panic_test; /* panic=test: show what a panic looks like */
};

extern struct options options;

/* Read the line, over the defaults. A word that nobody knows, or a value that makes no sense, is
 * named in the log and ignored. */
void options_parse(const char *cmdline);
