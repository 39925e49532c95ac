/* Sets up the calling CPU: segments, per-CPU data, exceptions, control registers. */
#include <kernel/core/cpu.h>

#include <kernel/core/cpuinit.h>
#include <kernel/core/idt.h>
#include <kernel/core/log.h>
#include <kernel/core/mcheck.h>
#include <kernel/x86/cache.h>
#include <kernel/x86/control.h>
#include <kernel/x86/cpuid.h>
#include <kernel/x86/msr.h>

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
	u64 cr4 = read_cr4();

	write_cr0((read_cr0() | CR0_MP) & ~(CR0_EM | CR0_TS));
	/* The FPU belongs to the guests; the world switch saves and restores it. */
	cr4 |= CR4_DE | CR4_MCE | CR4_OSFXSR | CR4_OSXMMEXCPT;
	if (cpuid(1, 0).ecx & CPUID1_ECX_XSAVE)
		cr4 |= CR4_OSXSAVE;
	if (cpuid(0, 0).eax >= 7) {
		struct cpuid seven = cpuid(7, 0);

		if (seven.ebx & CPUID7_EBX_SMEP)
			cr4 |= CR4_SMEP;
		if (seven.ebx & CPUID7_EBX_SMAP)
			cr4 |= CR4_SMAP;
	}
	write_cr4(cr4);
}

/* Weir's page tables, and the guests' nested ones, count on the PAT's reset value, which firmware
 * may have changed. Afterwards no cache or TLB has a trace of another one (SDM vol. 3, 12.12.4). */
static void set_pat(void)
{
	if (!(cpuid(1, 0).edx & CPUID1_EDX_PAT) || rdmsr(MSR_PAT) == PAT_RESET)
		return;
	wbinvd();
	wrmsr(MSR_PAT, PAT_RESET);
	wbinvd();
	write_cr3(read_cr3());
}

void cpu_init(struct cpu_area *area)
{
	segments_load(&area->segments);
	load_gs(area); /* after the selector, which would clear it */
	idt_load();
	set_control_registers();
	set_pat();
	mcheck_init_cpu();
}

static u32 initial_apic_id(void)
{
	if (cpuid(0, 0).eax >= 0xb && cpuid(0xb, 0).ebx)
		return cpuid(0xb, 0).edx;
	return cpuid(1, 0).ebx >> 24;
}

/* The record at this address, or that of the CPU with this APIC id; NULL: there is none. One that
 * is being started is behind the last. */
static struct cpu *find_cpu(const void *address, u32 apic_id)
{
	for (u32 i = 0; i < MAX_CPUS && i <= nr_cpus; i++)
		if (cpus[i] && (address ? cpus[i] == address : cpus[i]->apic_id == apic_id))
			return cpus[i];
	return NULL;
}

void cpu_repair_gs(void)
{
	void *base = (void *)rdmsr(MSR_GS_BASE);
	struct cpu *me = find_cpu(NULL, initial_apic_id());

	if (!me)
		me = find_cpu(base, 0);
	if (!me)
		me = cpus[0];
	if (base != me)
		wrmsr(MSR_GS_BASE, (u64)me);
}

const char *cpu_stack_above(const void *va)
{
	return segments_stack_above(&container_of(this_cpu(), struct cpu_area, cpu)->segments, va);
}

void cpu_init_boot(void)
{
	cpus[0] = &boot_area.cpu;
	boot_area.cpu.online = true;
	nr_cpus = 1;
	segments_use_image_stacks(&boot_area.segments);
	cpu_init(&boot_area);
}

bool cpu_check(void)
{
	char vendor[13] = "";
	struct cpuid c = cpuid(0, 0);
	bool svm = cpuid(0x80000001, 0).ecx & CPUID80000001_ECX_SVM;
	bool vmx = cpuid(1, 0).ecx & CPUID1_ECX_VMX;

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
	if (!(cpuid(1, 0).edx & CPUID1_EDX_FXSR)) {
		log_err("this CPU has no FXSAVE; Weir needs it");
		return false;
	}
	return true;
}
