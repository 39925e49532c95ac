/* What a guest may ask of Weir. VMMCALL (AMD) or VMCALL (Intel) from CPL 0: RAX = number,
 * arguments in RDI, RSI, RDX; the result in RAX, negative errno values as 64-bit two's complement.
 * No other register changes. From CPL > 0 the answer is -EPERM. Code of 32 bits sees the low halves;
 * the high ones are zero in a guest that has never been in long mode.
 *
 * Presence: CPUID 0x40000000 returns EAX = highest leaf, EBX:ECX:EDX = "WeirWeirWeir";
 * 0x40000001.EAX is the ABI version.
 */
#pragma once

#include <stdint.h>

#define WEIR_ABI_VERSION 1
#define WEIR_CPUID_BASE 0x40000000u
#define WEIR_CPUID_EBX 0x72696557u /* "Weir" */
/* The customary timing leaf: EAX kHz of the TSC, EBX kHz of the APIC timer. */
#define WEIR_CPUID_TIMING (WEIR_CPUID_BASE + 0x10)

enum weir_hypercall {
	/* -> ABI version */
	WEIR_HC_VERSION = 0,
	/* RDI = first guest frame, RSI = frames. Give memory back. The pages leave the guest's
	 * tables and its devices' at once, and belong to nobody until every TLB that may hold them
	 * has been flushed. */
	WEIR_HC_MEM_RELEASE = 1,
	/* RDI = first guest frame, RSI = frames. Take memory (zeroed) for frames that hold none.
	 * The vCPU sleeps while an earlier release of the same frames is under way. -ENOMEM when
	 * the machine has none left or more than the domain's `mem=` would be used. */
	WEIR_HC_MEM_POPULATE = 2,
	/* RDI = guest-physical address (8-byte aligned, one page at most) of struct weir_stats, RSI
	 * = its size. Fills what fits; -> bytes that Weir knows. */
	WEIR_HC_STATS = 3,
	/* RDI = 0 power off, 1 reboot (the domain is started again, unless its module line says
	 * restart=never), 2 crashed, RSI = status for the log. No return. */
	WEIR_HC_SHUTDOWN = 4,
	/* RDI = vector, 16 to 255, that is raised on vCPU 0 when an event comes; 0: none. -EINVAL */
	WEIR_HC_EVENT_VECTOR = 5,
	/* -> the events (enum weir_event) since the last call */
	WEIR_HC_EVENTS = 6,
	/* RDI = guest frame. -> the frame by which the caller's devices reach it: the same, but in the control domain, whose
	 * devices use machine addresses (control-iommu=). -ENOENT: it holds no memory */
	WEIR_HC_DEVICE_FRAME = 7,

	/* --- For the control domain; all others get -EPERM. The structures are in kernel/abi/control.h; their addresses are
	 * 8-byte aligned, and a bad one gives -EFAULT or -EINVAL. RDX = their size: what fits is filled. --- */

	/* RDI = id, RSI = address of struct weir_domain_info: the first domain with this id or a
	 * higher one, dying ones too. -> its id; 0: there is none */
	WEIR_HC_DOMAIN_INFO = 0x100,
	/* RDI = number, counted from 0, RSI = address of struct weir_device_info. -> 1; 0: there is
	 * none */
	WEIR_HC_DEVICE_INFO = 0x101,
	/* RDI = id, RSI = address of struct weir_stats. -> bytes that Weir knows. -ENOENT: no such
	 * domain, or it is dying */
	WEIR_HC_DOMAIN_STATS = 0x102,
	/* RDI = device, as in weir_device_info, RSI = id, RDX = flags, WEIR_ATTACH_*: begin to give it
	 * to this domain. weir_device_info tells how far it is. -ENODEV: no such device; -ENOENT: no
	 * such domain, or it is dying; -EBUSY: the device is not free, or the domain not complete;
	 * -EPERM: it cannot be given (why_not, why_no_ats); -EINVAL: flags; -ENOMEM */
	WEIR_HC_DEVICE_ATTACH = 0x103,
	/* RDI = device: begin to take it from its domain. -ENODEV; -EBUSY: no domain has it, or it is
	 * on its way */
	WEIR_HC_DEVICE_DETACH = 0x104,
	/* RDI = id: end this domain, which takes its time. -ENOENT as above; -EBUSY: it is not
	 * complete; -EINVAL: it is the caller */
	WEIR_HC_DOMAIN_DESTROY = 0x105,
	/* RDI = device, RSI = address that it uses, RDX = address of struct weir_walk. -ENODEV */
	WEIR_HC_IOMMU_WALK = 0x106,
	/* RDI = number of a remapping unit, counted from 0, RSI = address of struct weir_unit_stats
	 * (kernel/abi/iommu.h). -> 1; 0: there is none. Everybody may ask for a unit that one of its devices
	 * is behind; -EPERM for others */
	WEIR_HC_UNIT_STATS = 0x107,
	/* RDI = number of an event, RSI = address of an array of struct weir_trace_event, RDX = its size:
	 * the events from that number on that are still there, oldest first. -> how many */
	WEIR_HC_IOMMU_TRACE = 0x108,
	/* RDI = address of struct weir_memory_info, RSI = its size. -> 0 */
	WEIR_HC_MEMORY_INFO = 0x109,
	/* RDI = pages: carve so many out of what is lent to the caller's devices (control-iommu=), in whole
	 * 2 MiB. They are free when no device can reach them any more. -> 1: on their way; 0: nothing is
	 * lent */
	WEIR_HC_MEMORY_CARVE = 0x10a,
	/* Lend what is free, but for Weir's reserve. -> 0 */
	WEIR_HC_MEMORY_LEND = 0x10b,
	/* RDI = id: from now on, what this domain writes on its COM1 is for the caller to read, and not in
	 * the log; 0: no domain's is. What was written before and not read is gone. -ENOENT; -EINVAL: it
	 * is the caller */
	WEIR_HC_CONSOLE_SELECT = 0x10c,
	/* RDI = address of a buffer, RSI = its size. -> how many bytes were read; -ENOENT: none, and no
	 * domain is selected, or it has ended. WEIR_EVENT_CONSOLE says when there is something again */
	WEIR_HC_CONSOLE_READ = 0x10d,
	/* RDI = address of a buffer, RSI = its size: it arrives at the selected domain's COM1. -> how many
	 * bytes that had room for; -ENOENT as above */
	WEIR_HC_CONSOLE_WRITE = 0x10e,
	/* RDI = id, RSI = pages: ask this domain to give so many back in all, by its balloon. weir_domain_info tells how far it
	 * is. -ENOENT, -EBUSY as above; -ENODEV: it has no balloon, or no driver for it; -EINVAL: more than it has; -ENOMEM: what it
	 * would get again is not there, or not yet */
	WEIR_HC_BALLOON = 0x10f,
};

/* The device may use a TLB of its own (PCIe ATS), and is trusted with all of memory. */
#define WEIR_ATTACH_ATS 1

enum weir_event {
	WEIR_EVENT_INPUT = 1, /* something was typed on the domain's console */
	WEIR_EVENT_QUARANTINED = 2, /* a device of the domain misbehaved: it cannot reach memory any more */
	WEIR_EVENT_DEVICES = 4, /* a device came to the domain's PCI bus or left it */
	WEIR_EVENT_STORM = 8, /* a device raised more interrupts than irq-limit= allows, and was paused */
	WEIR_EVENT_CONSOLE = 16, /* the selected domain has written something (the control domain's) */
};

#define WEIR_LATENCY_BUCKETS 16

enum weir_exit_reason {
	WEIR_EXIT_INTERRUPT, /* a host interrupt while the guest ran */
	WEIR_EXIT_INTERRUPT_WINDOW, /* none by AMD SVM */
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

/* What an exit of WEIR_EXIT_MSR was for. */
enum weir_msr_exit {
	WEIR_MSR_EOI,
	WEIR_MSR_TIMER, /* TSC deadline, initial count */
	WEIR_MSR_IPI, /* ICR, self IPI */
	WEIR_MSR_OTHER,
	WEIR_NR_MSR_EXITS
};

enum weir_fault_kind {
	WEIR_FAULT_WRITE, /* the page may not be written */
	WEIR_FAULT_READ, /* the page may not be read */
	WEIR_FAULT_CONTEXT, /* the device's root or context entry */
	WEIR_FAULT_WIDTH, /* the address is beyond the domain's width */
	WEIR_FAULT_TABLE, /* a table or an entry in it */
	WEIR_FAULT_INTERRUPT, /* an interrupt that is not the device's to raise */
	WEIR_FAULT_OTHER,
	WEIR_NR_FAULT_KINDS
};

/* All counts since the domain's start unless it says "now". */
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
	uint64_t pages_held, pages_held_max; /* frames that wait for an invalidation: now, and at most */
	uint64_t batches_in_flight; /* now */
	uint64_t batches_posted, batches_completed;
	uint64_t iotlb_invalidations, device_tlb_invalidations, context_invalidations;
	uint64_t invalidations_posted, invalidations_completed; /* descriptors, waits not counted */
	uint64_t completion_interrupts; /* of all units: shared by all domains */
	/* From commit to the last answer; bucket i counts latencies below 1 us << i, the last one
	 * all others. */
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
	uint64_t absent_accesses; /* ports, MSRs, addresses where nothing is */

	uint64_t devices_quarantined; /* for faults or time-outs */
	uint64_t io_faults_by[WEIR_NR_FAULT_KINDS]; /* io_faults by reason */
	uint64_t interrupt_pauses; /* how often a device of this domain was paused for too many interrupts */
	uint64_t msr_exits[WEIR_NR_MSR_EXITS]; /* exits[WEIR_EXIT_MSR] by what was accessed */
	uint64_t interrupts_taken; /* by vCPUs, from devices, their timers and each other */
};
