/* Entry of the test guests: runs groups of checks. */
#include <tests/guests/guest.h>

#include <kernel/abi/hypercall.h>

static bool wanted(const char *line, const char *name)
{
	while (*line) {
		size_t n = 0;

		while (line[n] && line[n] == name[n])
			n++;
		if (!name[n] && (!line[n] || line[n] == ' '))
			return true;
		while (*line && *line != ' ')
			line++;
		while (*line == ' ')
			line++;
	}
	return false;
}

/* A Multiboot command line begins with the kernel's name. */
static const char *without_name(const char *line)
{
	while (*line && *line != ' ')
		line++;
	return line;
}

static bool named; /* the command line names groups */

void lacks(const char *what)
{
	if (named)
		CHECK(what, false);
	else
		print("%s: skipped\n", what);
}

static void restart_acpi(void)
{
	test_restart(RESTART_BY_ACPI);
}

static void restart_keyboard(void)
{
	test_restart(RESTART_BY_KEYBOARD);
}

static void restart_control(void)
{
	test_restart(RESTART_BY_CONTROL);
}

static void restart_hypercall(void)
{
	test_restart(RESTART_BY_HYPERCALL);
}

static void restart_vector(void)
{
	test_restart(RESTART_BY_VECTOR);
}

static void stay_halted(void)
{
	for (;;)
		__asm__ volatile("cli; hlt");
}

/* As a kernel that has panicked. */
static void halt(void)
{
	(void)smp_start(stay_halted);
	stay_halted();
}

static void restart_fault(void)
{
	test_restart(RESTART_BY_FAULT);
}

static void triple_16(void)
{
	test_triple_fault(16);
}

static void triple_32(void)
{
	test_triple_fault(32);
}

static void triple_64(void)
{
	test_triple_fault(64);
}

static void restart_cr0(void)
{
	test_restart(RESTART_BY_CR0);
}

/* The command line names the groups to run. Without names, all run except those marked
 * only_by_name, which take long or do not end. */
static const struct {
	const char *name;
	void (*run)(void);
	bool only_by_name;
} groups[] = {
	{ .name = "cpuid", .run = test_cpuid },
	{ .name = "contract", .run = test_contract },
	/* Before a check sets the TSC of one CPU. */
	{ .name = "clock", .run = test_clock },
	{ .name = "msr", .run = test_msr },
	{ .name = "exceptions", .run = test_exceptions },
	{ .name = "firmware", .run = test_firmware },
	{ .name = "mptable", .run = test_mptable },
	{ .name = "rtc", .run = test_rtc },
	{ .name = "vga", .run = test_vga },
	{ .name = "kbc", .run = test_kbc },
	{ .name = "apic", .run = test_apic },
	{ .name = "nmi", .run = test_nmi },
	{ .name = "inject", .run = test_inject },
	{ .name = "pit", .run = test_pit },
	{ .name = "pic", .run = test_pic },
	{ .name = "ioapic", .run = test_ioapic },
	{ .name = "xapic", .run = test_xapic },
	{ .name = "boot", .run = test_boot },
	{ .name = "mmio", .run = test_mmio },
	{ .name = "emulate", .run = test_emulate },
	{ .name = "memory", .run = test_memory },
	{ .name = "smp", .run = test_smp },
	{ .name = "fpu", .run = test_fpu },
	{ .name = "dma", .run = test_dma },
	{ .name = "events", .run = test_events },
	{ .name = "flood", .run = test_flood },
	{ .name = "storm", .run = test_storm },
	{ .name = "msi", .run = test_msi },
	{ .name = "config", .run = test_config },
	{ .name = "faults", .run = test_faults },
	{ .name = "machine", .run = test_machine },
	{ .name = "remap", .run = test_remap, .only_by_name = true },
	{ .name = "remap-ats", .run = test_remap_ats, .only_by_name = true },
	{ .name = "remap-rounds", .run = test_remap_rounds, .only_by_name = true },
	{ .name = "remap-rounds-ats", .run = test_remap_rounds_ats, .only_by_name = true },
	{ .name = "remap-flood", .run = test_remap_flood, .only_by_name = true },
	{ .name = "remap-peer", .run = test_remap_peer, .only_by_name = true },
	{ .name = "bulk", .run = test_bulk, .only_by_name = true },
	{ .name = "split", .run = test_split, .only_by_name = true },
	{ .name = "burst", .run = test_burst, .only_by_name = true },
	{ .name = "toggle", .run = test_toggle, .only_by_name = true },
	{ .name = "cost", .run = test_cost, .only_by_name = true },
	{ .name = "deferral-give", .run = test_deferral_give, .only_by_name = true },
	{ .name = "deferral-compute", .run = test_deferral_compute, .only_by_name = true },
	{ .name = "deferral-ticks", .run = test_deferral_ticks, .only_by_name = true },
	{ .name = "ports", .run = test_all_ports, .only_by_name = true },
	{ .name = "ticks", .run = test_ticks, .only_by_name = true },
	{ .name = "console", .run = test_console, .only_by_name = true },
	{ .name = "screen", .run = test_screen, .only_by_name = true },
	{ .name = "screen-scrolled", .run = test_screen_scrolled, .only_by_name = true },
	{ .name = "screen-gone", .run = test_screen_gone, .only_by_name = true },
	{ .name = "watch", .run = test_watch, .only_by_name = true },
	{ .name = "watch-now", .run = test_watch_now, .only_by_name = true },
	{ .name = "attack-init", .run = test_attack_init, .only_by_name = true },
	{ .name = "attack-timers", .run = test_attack_timers, .only_by_name = true },
	{ .name = "attack-msix", .run = test_attack_msix, .only_by_name = true },
	{ .name = "halt", .run = halt, .only_by_name = true },
	{ .name = "restart-acpi", .run = restart_acpi, .only_by_name = true },
	{ .name = "restart-keyboard", .run = restart_keyboard, .only_by_name = true },
	{ .name = "restart-control", .run = restart_control, .only_by_name = true },
	{ .name = "restart-hypercall", .run = restart_hypercall, .only_by_name = true },
	{ .name = "restart-vector", .run = restart_vector, .only_by_name = true },
	{ .name = "triple-16", .run = triple_16, .only_by_name = true },
	{ .name = "triple-32", .run = triple_32, .only_by_name = true },
	{ .name = "triple-64", .run = triple_64, .only_by_name = true },
	{ .name = "restart-fault", .run = restart_fault, .only_by_name = true },
	{ .name = "restart-cr0", .run = restart_cr0, .only_by_name = true },
};

void main(u32 magic, u32 info);
void main(u32 magic, u32 info)
{
	const u32 *mbi = (const u32 *)(u64)info;
	const char *line = magic == 0x2badb002 && (mbi[0] & 4) ?
				   without_name((const char *)(u64)mbi[4]) :
				   "";
	struct cpuid r = cpuid(WEIR_CPUID_BASE, 0);

	under_weir = r.ebx == WEIR_CPUID_EBX;
	if (under_weir && r.eax >= WEIR_CPUID_TIMING)
		tsc_khz = cpuid(WEIR_CPUID_TIMING, 0).eax;
	traps_init();
	pic_off();
	apic_on();
	for (unsigned int i = 0; i < ARRAY_SIZE(groups); i++)
		named |= wanted(line, groups[i].name);
	for (unsigned int i = 0; i < ARRAY_SIZE(groups); i++) {
		if (named ? !wanted(line, groups[i].name) : groups[i].only_by_name)
			continue;
		print("group %s\n", groups[i].name);
		groups[i].run();
	}
	print("%u passed, %u failed\n", passed, failed);
	end(END_POWER_OFF, failed);
}
