/* What each CPU sets up for itself: segments, per-CPU data, exceptions, control registers. */
#include <kernel/core/cpuinit.h>
#include <kernel/core/idt.h>
#include <kernel/core/log.h>

#define MSR_GS_BASE 0xc0000101
#define MSR_KERNEL_GS_BASE 0xc0000102

/* SDM vol. 3, 2.5. */
#define CR0_MP BIT(1)
#define CR0_EM BIT(2)
#define CR0_TS BIT(3)
#define CR4_DE BIT(3)
#define CR4_MCE BIT(6)
#define CR4_OSFXSR BIT(9)
#define CR4_OSXMMEXCPT BIT(10)
#define CR4_OSXSAVE BIT(18)
#define CR4_SMEP BIT(20)
#define CR4_SMAP BIT(21)

struct cpu *cpus[MAX_CPUS];
u32 nr_cpus;

static struct cpu_area boot_area;

static void load_gs(struct cpu_area *area)
{
	area->cpu.self = &area->cpu;
	wrmsr(MSR_GS_BASE, (u64)&area->cpu);
	wrmsr(MSR_KERNEL_GS_BASE, 0);
}

static void set_control_registers(void)
{
	struct cpuid features = cpuid(1, 0);
	u64 cr0, cr4;

	__asm__ volatile("mov %%cr0, %0" : "=r"(cr0));
	__asm__ volatile("mov %0, %%cr0" ::"r"((cr0 | CR0_MP) & ~(CR0_EM | CR0_TS)));

	__asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
	/* The FPU belongs to the guests; the world switch saves and restores it. */
	cr4 |= CR4_DE | CR4_MCE | CR4_OSFXSR | CR4_OSXMMEXCPT;
	if (features.ecx & BIT(26))
		cr4 |= CR4_OSXSAVE;
	if (cpuid(0, 0).eax >= 7) {
		struct cpuid seven = cpuid(7, 0);

		if (seven.ebx & BIT(7))
			cr4 |= CR4_SMEP;
		if (seven.ebx & BIT(20))
			cr4 |= CR4_SMAP;
	}
	__asm__ volatile("mov %0, %%cr4" ::"r"(cr4) : "memory");
}

void cpu_init(struct cpu_area *area)
{
	segments_load(&area->segments);
	load_gs(area); /* after the selector, which would clear it */
	idt_load();
	set_control_registers();
}

void cpu_init_boot(void)
{
	cpus[0] = &boot_area.cpu;
	boot_area.cpu.online = true;
	nr_cpus = 1;
	cpu_init(&boot_area);
}

bool cpu_check(void)
{
	char vendor[13] = "";
	struct cpuid c = cpuid(0, 0);
	bool svm = cpuid(0x80000001, 0).ecx & BIT(2), vmx = cpuid(1, 0).ecx & BIT(5);

	__builtin_memcpy(vendor, &c.ebx, 4);
	__builtin_memcpy(vendor + 4, &c.edx, 4);
	__builtin_memcpy(vendor + 8, &c.ecx, 4);
	log_info("cpu: %s, virtualisation: %s", vendor,
		 svm ? "AMD SVM" :
		 vmx ? "Intel VMX" :
		       "none");
	if (!svm && !vmx)
		log_err("this CPU offers neither SVM nor VMX: guests cannot run; "
			"enable virtualisation in the firmware's setup");
	if (!(cpuid(1, 0).edx & BIT(24))) {
		log_err("this CPU has no FXSAVE; Weir needs it");
		return false;
	}
	return true;
}
