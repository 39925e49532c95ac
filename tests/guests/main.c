/* The groups of checks. */
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

static void restart_acpi(void)
{
	test_restart(RESTART_BY_ACPI);
}

static void restart_keyboard(void)
{
	test_restart(RESTART_BY_KEYBOARD);
}

static void restart_hypercall(void)
{
	test_restart(RESTART_BY_HYPERCALL);
}

static void restart_vector(void)
{
	test_restart(RESTART_BY_VECTOR);
}

static void restart_fault(void)
{
	test_restart(RESTART_BY_FAULT);
}

/* The command line names the groups to run; none: all but those behind ENDLESS, which do not come to an end. */
static const struct {
	const char *name;
	void (*run)(void);
} groups[] = {
	{ "cpuid", test_cpuid },
	{ "msr", test_msr },
	{ "exceptions", test_exceptions },
	{ "apic", test_apic },
	{ "mmio", test_mmio },
	{ "memory", test_memory },
	{ "smp", test_smp },
	{ "fpu", test_fpu },
	{ "dma", test_dma },
	{ "events", test_events },
	{ "flood", test_flood },
	{ "storm", test_storm },
	{ "msi", test_msi },
	{ "config", test_config },
	{ "faults", test_faults },
	{ "machine", test_machine },
#define ENDLESS 16
	{ "ticks", test_ticks },
	{ "console", test_console },
	{ "restart-acpi", restart_acpi },
	{ "restart-keyboard", restart_keyboard },
	{ "restart-hypercall", restart_hypercall },
	{ "restart-vector", restart_vector },
	{ "restart-fault", restart_fault },
};

void main(u32 magic, u32 info);
void main(u32 magic, u32 info)
{
	const u32 *mbi = (const u32 *)(u64)info;
	const char *line = magic == 0x2badb002 && (mbi[0] & 4) ? (const char *)(u64)mbi[4] : "";
	struct cpuid r = cpuid(WEIR_CPUID_BASE, 0);
	bool any = false;

	under_weir = r.ebx == WEIR_CPUID_EBX;
	if (under_weir && r.eax >= WEIR_CPUID_BASE + 0x10)
		tsc_khz = cpuid(WEIR_CPUID_BASE + 0x10, 0).eax;
	traps_init();
	apic_on();
	for (unsigned int i = 0; i < ARRAY_SIZE(groups); i++)
		any |= wanted(line, groups[i].name);
	for (unsigned int i = 0; i < ARRAY_SIZE(groups); i++) {
		if (any ? !wanted(line, groups[i].name) : i >= ENDLESS)
			continue;
		print("group %s\n", groups[i].name);
		groups[i].run();
	}
	print("%u passed, %u failed\n", passed, failed);
	if (under_weir)
		hypercall(WEIR_HC_SHUTDOWN, 0, failed, 0);
	outb(0xf4, failed ? 1 : 0);
}
