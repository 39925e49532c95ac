/* The words of Weir's own command line, which docs/command-line.md explains. */
#pragma once

#include <kernel/core/debugexit.h>
#include <kernel/core/log.h>
#include <kernel/core/smp.h>
#include <kernel/guest/lifecycle/builder.h>
#include <kernel/lib/compiler.h>
#include <kernel/lib/pci_id.h>

#define OPTIONS_SRIOV 4

struct options {
	u16 console; /* I/O port of the UART that gets the log; 0: none */
	enum log_level loglevel;
	bool iommu_off; /* iommu=off */
	bool no_intremap; /* iommu=nointremap */
	struct build_options build; /* control-iommu=, fail-alloc=builds */
	struct smp_limits cpus; /* maxcpus=N, smt=off */
	u32 irq_limit; /* irq-limit=N: interrupts per second of an assigned device; 0: no limit */
	/* sriov=DEVICE,N: enable its first N virtual functions. */
	struct {
		struct pci_id device;
		u32 nr; /* 0: the entry is free */
	} sriov[OPTIONS_SRIOV];
	bool x2apic_off, x2apic_on; /* x2apic=off; x2apic=on */
	bool mitigations_off; /* mitigations=off */
	enum debug_exit exit_at; /* exit=ready, exit=idle: when to end QEMU */
#ifdef WEIR_DEBUG
	u64 fail_every; /* fail-alloc=N: once Weir is ready, every N-th allocation fails */
	u32 late_posts, late_answers; /* milliseconds: iommu/late.h */
#endif
	bool nmi_panics; /* nmi=panic */
	bool panic_test; /* panic=test: show what a panic looks like */
};

extern struct options options;

/* Parse the line into `options`, over the defaults. An unknown word or an invalid value is named in
 * the log and ignored. If a word is repeated, the last one wins; sriov= counts for each device
 * separately. A file's name as the first word is skipped. Boot. */
void options_parse(const char *cmdline);
