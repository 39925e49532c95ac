/* Hypercalls. VMMCALL (AMD) or VMCALL (Intel) from CPL 0: RAX = number, arguments in RDI, RSI, RDX.
 * The result is in RAX; errors are negative errno values, as 64-bit two's complement. No other
 * register changes. From CPL > 0 the result is -EPERM; for a number that does not exist, -ENOSYS.
 * 32-bit code sees the low halves; the high halves are zero in a guest that has never been in long
 * mode.
 *
 * Presence: CPUID 0x40000000 returns EAX = highest leaf, EBX:ECX:EDX = "WeirWeirWeir";
 * 0x40000001.EAX is the ABI version. docs/abi-changes.md lists the changes of each version.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define WEIR_ABI_VERSION 5
#define WEIR_CPUID_BASE 0x40000000u
#define WEIR_CPUID_EBX 0x72696557u /* "Weir" */
/* The usual timing leaf of hypervisors: EAX is the frequency of the TSC in kHz, EBX that of the
 * APIC timer. */
#define WEIR_CPUID_TIMING (WEIR_CPUID_BASE + 0x10)

enum weir_hypercall {
	/* -> ABI version */
	WEIR_HC_VERSION = 0,
	/* RDI = first guest frame, RSI = frames. Give memory back. -> the frames given back, at
	 * least 1: call again for the rest. The pages leave the tables of the guest and of its
	 * devices at once, and are not free until every TLB that may hold them has been flushed.
	 * -EINVAL: not all of it is the guest's RAM; -EPERM: the caller's devices use machine
	 * addresses (the control domain, control-iommu=); -ENOMEM: no memory to split a large
	 * page */
	WEIR_HC_MEM_RELEASE = 1,
	/* RDI = first guest frame, RSI = frames. Take memory (zeroed) for frames that hold none. ->
	 * the frames that hold memory now, at least 1: call again for the rest. The vCPU sleeps
	 * while an earlier release of the same frames is in progress. -EINVAL as above; -ENOMEM:
	 * the machine has no memory left, or it would exceed the domain's `mem=` */
	WEIR_HC_MEM_POPULATE = 2,
	/* RDI = guest-physical address of struct weir_stats (8-byte aligned), RSI = its size, a
	 * page at most. Fills in what fits. -> the size of Weir's structure. -EINVAL, -EFAULT: a
	 * bad address or size */
	WEIR_HC_STATS = 3,
	/* RDI = 0 power off, 1 reboot (the domain is restarted, unless its module line says
	 * restart=never), 2 crashed; RSI = status for the log. Does not return. -EINVAL */
	WEIR_HC_SHUTDOWN = 4,
	/* RDI = vector, 16 to 255, to raise on vCPU 0 when an event occurs; 0: none. -EINVAL */
	WEIR_HC_EVENT_VECTOR = 5,
	/* -> the events (enum weir_event) since the last call */
	WEIR_HC_EVENTS = 6,
	/* RDI = guest frame. -> the frame number at which the caller's devices access it: the same
	 * number, except in a control domain whose devices use machine addresses (control-iommu=).
	 * -ENOENT: it holds no memory */
	WEIR_HC_DEVICE_FRAME = 7,

	/* --- for the control domain --------------------------------------- */

	/* All other domains get -EPERM. The structures are in
	 * kernel/abi/control.h and kernel/abi/iommu.h. Their addresses are guest-physical and
	 * 8-byte aligned; a bad one gives -EFAULT or -EINVAL. Unless another argument has it, RDX =
	 * the structure's size: what fits is filled in. */

	/* RDI = id, RSI = address of struct weir_domain_info: the first domain with this id or a
	 * higher one, including dying ones. -> its id; 0: there is none */
	WEIR_HC_DOMAIN_INFO = 0x100,
	/* RDI = number, counted from 0, RSI = address of struct weir_device_info. -> 1; 0: there is
	 * none */
	WEIR_HC_DEVICE_INFO = 0x101,
	/* RDI = id, RSI = address of struct weir_stats. -> the size of Weir's structure. -ENOENT:
	 * no such domain, or it is dying */
	WEIR_HC_DOMAIN_STATS = 0x102,
	/* RDI = device, as in weir_device_info, RSI = id, RDX = flags, WEIR_ATTACH_*: start to
	 * attach it to this domain. weir_device_info shows the progress. -ENODEV: no such device;
	 * -ENOENT: no such domain, or it is dying; -EBUSY: the device is not free, or the domain is
	 * not complete;
	 * -EPERM: it cannot be attached (why_not, why_no_ats); -EINVAL: flags; -ENOMEM */
	WEIR_HC_DEVICE_ATTACH = 0x103,
	/* RDI = device: start to detach it from its domain. -ENODEV; -EBUSY: no domain owns it, or
	 * it is being attached or detached */
	WEIR_HC_DEVICE_DETACH = 0x104,
	/* RDI = id: start to end this domain. -ENOENT as above; -EBUSY: it is not complete;
	 * -EINVAL: it is the caller */
	WEIR_HC_DOMAIN_DESTROY = 0x105,
	/* RDI = device, RSI = address that it uses, RDX = address of struct weir_walk. -> 0.
	 * -ENODEV */
	WEIR_HC_IOMMU_WALK = 0x106,
	/* RDI = number of a remapping unit, counted from 0, RSI = address of struct
	 * weir_unit_stats.
	 * -> 1; 0: there is none */
	WEIR_HC_UNIT_STATS = 0x107,
	/* RDI = number of an event, RSI = address of an array of struct weir_trace_event, RDX = its
	 * size: the events from that number on that are still there, oldest first. -> how many */
	WEIR_HC_IOMMU_TRACE = 0x108,
	/* RDI = address of struct weir_memory_info, RSI = its size. -> 0 */
	WEIR_HC_MEMORY_INFO = 0x109,
	/* RDI = pages: take this much memory, in whole 2 MiB, back from what is lent to the
	 * caller's devices (control-iommu=). It is free once no device can reach it. -> 1: in
	 * progress; 0: nothing is lent */
	WEIR_HC_MEMORY_CARVE = 0x10a,
	/* Lend free memory, except for Weir's reserve. -> 0 */
	WEIR_HC_MEMORY_LEND = 0x10b,
	/* RDI = id: from now on, what this domain writes to its COM1 is read by the caller and does
	 * not go to the log; 0: select no domain. Output of the last one that has not been read yet
	 * is lost when another is selected. -ENOENT; -EINVAL: it is the caller */
	WEIR_HC_CONSOLE_SELECT = 0x10c,
	/* RDI = address of a buffer, RSI = its size. -> bytes read; -ENOENT: none, and no domain is
	 * selected, or it has ended. WEIR_EVENT_CONSOLE signals that there is more */
	WEIR_HC_CONSOLE_READ = 0x10d,
	/* RDI = address of a buffer, RSI = its size: input for the selected domain's COM1. -> bytes
	 * accepted; -ENOENT as above */
	WEIR_HC_CONSOLE_WRITE = 0x10e,
	/* RDI = id, RSI = pages: ask this domain to give back this many in total through its
	 * balloon. weir_domain_info shows the progress. -ENOENT, -EBUSY as above; -ENODEV: it has
	 * no balloon, or no driver for it; -EINVAL: not less than its `mem=`; -ENOMEM: the memory
	 * that it would get back is not free, or not yet */
	WEIR_HC_BALLOON = 0x10f,
	/* RDI = address of struct weir_log_position, RSI = address of a buffer, RDX = its size:
	 * copy the log from this position on, and advance the position past what was copied. If the
	 * oldest part has been overwritten, the copy begins at the oldest complete line. -> bytes
	 * copied, 4096 at most; 0: there is no more */
	WEIR_HC_LOG_READ = 0x110,
	/* RDI = position, 0 at first: look for PCI functions that have come or gone, a few at a
	 * time. -> the position for the next call; 0: all have been looked at. -EBUSY: another vCPU
	 * is doing this; -EINVAL */
	WEIR_HC_RESCAN = 0x111,
	/* RDI = 1: the trace of the IOMMU core records what happens to pages too; 0: only what
	 * happens to devices, as at boot. -> what it was. -EINVAL: neither 0 nor 1 */
	WEIR_HC_IOMMU_TRACE_PAGES = 0x112,
	/* RDI = id, RSI = address of struct weir_screen: what this domain shows on its text screen.
	 * -> 0. -ENOENT, -EBUSY as above; -ENODEV: it has given back the screen's memory */
	WEIR_HC_SCREEN = 0x113,
};

/* The device may use its own TLB (PCIe ATS), and is trusted with all of memory. */
#define WEIR_ATTACH_ATS 1

enum weir_event {
	WEIR_EVENT_INPUT = 1, /* there is input on the domain's console */
	WEIR_EVENT_QUARANTINED = 2, /* a device was quarantined: it cannot reach memory */
	WEIR_EVENT_DEVICES = 4, /* a device arrived on the domain's PCI bus, or left it */
	WEIR_EVENT_STORM = 8, /* a device was paused for more interrupts than irq-limit= allows */
	WEIR_EVENT_CONSOLE = 16, /* control domain: the selected domain has written something */
	WEIR_EVENT_HALTED = 32, /* control domain: nothing can wake a domain: WEIR_DOMAIN_HALTED */
};

#define WEIR_LATENCY_BUCKETS 16

enum weir_exit_reason {
	WEIR_EXIT_INTERRUPT, /* a host interrupt while the guest ran */
	WEIR_EXIT_INTERRUPT_WINDOW, /* always 0 with AMD SVM */
	WEIR_EXIT_CPUID,
	WEIR_EXIT_MSR,
	WEIR_EXIT_IO,
	WEIR_EXIT_MMIO,
	WEIR_EXIT_NESTED_FAULT,
	WEIR_EXIT_HLT,
	WEIR_EXIT_HYPERCALL,
	WEIR_EXIT_OTHER,
	WEIR_NR_EXIT_REASONS
};

/* What the MSR access of a WEIR_EXIT_MSR was for. */
enum weir_msr_exit {
	WEIR_MSR_EOI,
	WEIR_MSR_TIMER, /* TSC deadline, initial count */
	WEIR_MSR_IPI, /* ICR, self IPI */
	WEIR_MSR_OTHER,
	WEIR_NR_MSR_EXITS
};

enum weir_fault_kind {
	WEIR_FAULT_WRITE, /* no write permission */
	WEIR_FAULT_READ, /* no read permission */
	WEIR_FAULT_CONTEXT, /* the device's root or context entry */
	WEIR_FAULT_WIDTH, /* the address is beyond the domain's width */
	WEIR_FAULT_TABLE, /* a table or an entry in it */
	WEIR_FAULT_INTERRUPT, /* an interrupt that the device may not raise */
	WEIR_FAULT_OTHER,
	WEIR_NR_FAULT_KINDS
};

/* Counts are since the domain's start, unless the comment says "now". */
struct weir_stats {
	uint64_t abi_version;
	char domain_name[32];
	uint64_t uptime_ns;

	/* I/O page tables of this domain */
	uint64_t io_entries[3]; /* present leaves now: 4 KiB, 2 MiB, 1 GiB */
	uint64_t io_tables; /* table pages now */
	uint64_t io_splits, io_collapses, io_tables_freed;
	uint64_t io_references; /* dev_tlb references now, present entries and tombstones */

	/* Deferred release */
	uint64_t pages_held, pages_held_max; /* frames waiting for an invalidation: now, maximum */
	uint64_t batches_in_flight; /* now */
	uint64_t batches_posted, batches_completed;
	uint64_t iotlb_invalidations, device_tlb_invalidations, context_invalidations;
	uint64_t invalidations_posted, invalidations_completed; /* descriptors, waits not counted */
	uint64_t completion_interrupts; /* that told that requests of the domain are done */
	/* From the commit to the last answer: bucket i counts latencies below 1 us << i, the last
	 * bucket all others. */
	uint64_t latency[WEIR_LATENCY_BUCKETS];
	uint64_t io_faults;

	/* Memory */
	uint64_t pages_owned; /* frames in the guest's tables now */
	uint64_t pages_limit;
	uint64_t nested_entries[3];

	/* CPU side */
	uint64_t nr_vcpus;
	uint64_t exits[WEIR_NR_EXIT_REASONS];
	uint64_t interrupts_delivered; /* device interrupts that reached a vCPU */
	uint64_t absent_accesses; /* to ports, MSRs and addresses where there is nothing */

	uint64_t devices_quarantined; /* of this domain, for faults or time-outs */
	uint64_t io_faults_by[WEIR_NR_FAULT_KINDS]; /* io_faults by reason */
	uint64_t interrupt_pauses; /* times a device was paused for too many interrupts */
	uint64_t msr_exits[WEIR_NR_MSR_EXITS]; /* exits[WEIR_EXIT_MSR] by what was accessed */
	uint64_t interrupts_taken; /* by vCPUs, from devices, their timers and each other */
};
_Static_assert(sizeof(struct weir_stats) == 592, "a change needs a new version");
_Static_assert(offsetof(struct weir_stats, latency) == 200, "a change needs a new version");
_Static_assert(offsetof(struct weir_stats, exits) == 384, "a change needs a new version");
_Static_assert(offsetof(struct weir_stats, msr_exits) == 552, "a change needs a new version");
