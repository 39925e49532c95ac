/* The start of Weir, step by step. */
#include <boot/multiboot2.h>
#include <boot/options.h>
#include <drivers/acpi.h>
#include <drivers/pci.h>
#include <drivers/sriov.h>
#include <iommu/iommu.h>
#include <iommu/late.h>
#include <kernel/core/clock.h>
#include <kernel/core/clockinit.h>
#include <kernel/core/console.h>
#include <kernel/core/cpuinit.h>
#include <kernel/core/debugexit.h>
#include <kernel/core/gdt.h>
#include <kernel/core/ioapic.h>
#include <kernel/core/irq.h>
#include <kernel/core/lapic.h>
#include <kernel/core/log.h>
#include <kernel/core/mcheck.h>
#include <kernel/core/nmi.h>
#include <kernel/core/paging.h>
#include <kernel/core/pagingcheck.h>
#include <kernel/core/panic.h>
#include <kernel/core/pic.h>
#include <kernel/core/smp.h>
#include <kernel/core/uart.h>
#include <kernel/guest/devices/pci/irqstorm.h>
#include <kernel/guest/domain/domain.h>
#include <kernel/guest/domain/event.h>
#include <kernel/guest/exit/exitmcheck.h>
#include <kernel/guest/exit/svmexit.h>
#include <kernel/guest/lifecycle/builder.h>
#include <kernel/guest/memory/shootdown.h>
#include <kernel/guest/quirks/emulator.h>
#include <kernel/guest/vcpu/backend.h>
#include <kernel/guest/vcpu/cpuidcommon.h>
#include <kernel/guest/vcpu/sched.h>
#include <kernel/guest/vcpu/speculation.h>
#include <kernel/guest/vcpu/vcpu.h>
#include <kernel/lib/string.h>
#include <kernel/mm/alloc.h>
#include <kernel/mm/bootmem.h>
#include <kernel/x86/apic.h>
#include <kernel/x86/interrupts.h>

/* A copy, because GRUB's information lies in memory that is reused. */
static struct boot_info boot_info;
static struct acpi_madt madt;

/* More than GRUB ever passes. It lies below 4 GiB, so it is mapped. */
#define BOOT_INFORMATION_MAX (4UL << 20)

extern const u8 boot_stack_guard[];
void boot_main(u32 magic, u32 info) __noreturn;

static void read_boot_information(u32 magic, u32 info)
{
	if (magic != MULTIBOOT2_BOOTLOADER_MAGIC) {
		log_err("Weir must be started by Multiboot2 (GRUB's command multiboot2); "
			"EAX is 0x%x",
			magic);
		halt_forever();
	}
	if (multiboot2_parse(phys_to_virt(info), BOOT_INFORMATION_MAX, &boot_info))
		halt_forever();
	options_parse(boot_info.cmdline);
	if (!console_set(options.console))
		log_warn("console: there is no UART at port 0x%x: the log goes to %s",
			 options.console,
			 console_present() ? "the serial ports that there are" : "memory only");
	log_set_level(options.loglevel);
	debug_exit_choose(options.exit_at);
	irqstorm_set_limit(options.irq_limit);
	if (options.mitigations_off)
		speculation_off();
}

/* x2APIC mode is used unless somebody does not want it. */
static bool avoid_x2apic(void)
{
	const struct acpi_header *dmar = acpi_find("DMAR");

	if (options.x2apic_off || options.x2apic_on ||
	    !iommu_x2apic_opt_out(dmar, dmar ? dmar->length : 0))
		return options.x2apic_off;
	log_info("interrupts: the firmware asks for xAPIC mode (DMAR, X2APIC_OPT_OUT); "
		 "x2apic=on overrides it");
	return true;
}

static void add_nmi_pins(void)
{
	for (u32 i = 0; i < madt.nr_nmis; i++)
		for (u32 k = 0; k < madt.nr_cpus; k++)
			if (madt.nmi[i].all || madt.nmi[i].processor_uid == madt.processor_uid[k])
				lapic_add_nmi(madt.apic_id[k], madt.nmi[i].pin,
					      madt.nmi[i].active_low);
}

/* ACPI tables, interrupt controllers, clock and timers. */
static void init_interrupts(void)
{
	const struct acpi_header *table, *fadt, *hpet;
	struct clock_sources timers = { 0 };

	if (!acpi_init(boot_info.rsdp, boot_info.rsdp_length)) {
		table = acpi_find("APIC");
		fadt = acpi_find("FACP");
		if (table)
			acpi_parse_madt(table, &madt);
		if (fadt)
			timers.pm_timer_port = acpi_pm_timer_port(fadt, &timers.pm_timer_bits);
		hpet = acpi_find("HPET");
		if (hpet)
			timers.hpet = acpi_hpet_address(hpet);
	}
	pic_disable();
	for (u32 i = 0; i < madt.nr_ioapics; i++)
		ioapic_mask_all(madt.ioapic[i].id, madt.ioapic[i].address);
	add_nmi_pins();
	if (lapic_init(madt.lapic_address ? madt.lapic_address : APIC_DEFAULT_ADDRESS,
		       avoid_x2apic()))
		halt_forever();
	cpus[0]->apic_id = lapic_id();
	log_info("interrupts: %s, %u I/O APICs masked", lapic_is_x2apic() ? "x2APIC" : "xAPIC",
		 madt.nr_ioapics);

	if (!clock_calibrate(&timers)) {
		log_err("nothing says how fast the TSC runs: neither the ACPI timer nor the HPET "
			"nor the PIT runs, and CPUID has no leaf 15H or 16H");
		halt_forever();
	}
	clock_read_date();
	if (!timer_init_system()) {
		log_err("the local APIC's timer does not run");
		halt_forever();
	}
}

/* Before others see the CPU: they place vCPUs on it if it can run guests. */
static void ap_prepare(void)
{
	if (vcpu_backend)
		(void)vcpu_backend_init();
}

static void ap_main(void) __noreturn;
static void ap_main(void)
{
	mcheck_poll();
	sched_enter(svm_handle_exit);
}

static void init_iommu(void)
{
	const struct acpi_header *dmar = acpi_find("DMAR");
	const struct iommu_options o = {
		.off = options.iommu_off,
		.no_intremap = options.no_intremap,
		.has_ivrs = acpi_find("IVRS"),
	};

	if (iommu_init(dmar, dmar ? dmar->length : 0, &o))
		log_warn("iommu: %s; no device can be passed through", iommu_why_absent());
}

/* All domains that can be built have been started. */
static void ready(void)
{
	log_info("weir: ready");
#ifdef WEIR_DEBUG
	late_start(options.late_posts, options.late_answers);
	alloc_fail(options.fail_every, options.fail_every);
#endif
	debug_exit_when(DEBUG_EXIT_READY);
}

void boot_main(u32 magic, u32 info)
{
	clock_start();
	log_set_clock(clock_ns);
	(void)console_set(UART_COM1);
	log_info("Weir starts");
	cpu_init_boot();
	read_boot_information(magic, info);
	if (!cpu_check())
		halt_forever();

	if (!bootmem_init(&boot_info))
		halt_forever();
	paging_init(bootmem_ram());
	paging_guard(boot_stack_guard);
	segments_guard_image_stacks();
	if (!bootmem_start_allocator())
		halt_forever();
	init_interrupts();
	mcheck_poll();
	nmi_start(options.nmi_panics);
	emulator_detect();
	sched_init();
	(void)vcpu_backend_init(); /* if there is none, start_new() reports it for each domain */
	smp_init(madt.apic_id, madt.nr_cpus, options.cpus, ap_prepare, ap_main);
	if (vcpu_backend)
		cpuid_common_report();
	if (!shootdown_init())
		halt_forever();
	pci_init();
	for (u32 i = 0; i < OPTIONS_SRIOV && options.sriov[i].nr; i++)
		pci_enable_virtual(options.sriov[i].device, options.sriov[i].nr);
	init_iommu();
	event_init();
	exitmcheck_init();

#ifdef WEIR_DEBUG
	(void)paging_check();
#endif
	if (options.panic_test)
		panic("requested by panic=test");
	console_start();
	build_domains(&boot_info, &options.build, ready);
	sched_enter(svm_handle_exit);
}
