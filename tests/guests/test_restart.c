/* A restarted guest finds everything as at its first start. It checks that, then changes everything
 * it can, and reboots in the way that its command line names, until Weir no longer restarts it. */
#include <tests/guests/edu.h>
#include <tests/guests/pci.h>

#include <kernel/abi/hypercall.h>
#include <kernel/abi/kvm.h>
#include <kernel/x86/segment.h>

#define VECTOR 0x99

/* The memory after the kernel, of 64 MiB. */
#define FIRST 0x800000UL
#define END 0x4000000UL
#define GIVEN_BACK_FRAME 0x2100UL
#define GIVEN_BACK 700UL
#define DMA_TARGET 0x1800000UL

static u32 lives = 1; /* the value in the ELF file */
static u8 clock_page[4096] __aligned(PAGE_SIZE);

static void look_at_memory(void)
{
	u64 dirty = 0;

	for (const volatile u64 *p = (u64 *)FIRST; p < (u64 *)END; p++)
		dirty += *p != 0;
	CHECK_EQ("restart: memory is clear", dirty, 0);
	CHECK_EQ("restart: data is as in the file", lives, 1);
}

static void look_at_cpu(void)
{
	u64 aux;

	CHECK_EQ("restart: TSC_AUX can be read", try_rdmsr(MSR_TSC_AUX, &aux), NONE);
	CHECK_EQ("restart: TSC_AUX", aux, 0);
	CHECK_EQ("restart: LSTAR", rdmsr(MSR_LSTAR), 0);
	CHECK_EQ("restart: DR0", read_dr(0), 0);
	CHECK_EQ("restart: the KVM clock is off", rdmsr(MSR_KVM_SYSTEM_TIME_NEW), 0);
	CHECK_EQ("restart: the timer is off", rdmsr(X2APIC(APIC_TIMER_INITIAL)), 0);
	for (u32 i = 0; i < 8; i++)
		CHECK_EQ("restart: no interrupt is pending", rdmsr(X2APIC(APIC_IRR + i)), 0);
	CHECK("restart: INIT, SIPI start the other CPU", smp_start(NULL));
}

static void look_at_device(u32 slot)
{
	CHECK_EQ("restart: the device decodes nothing", config_read(slot, PCI_COMMAND) & 0xffff, 0);
	CHECK("restart: it can be found", edu_find());
	CHECK("restart: it writes to memory", edu_write(DMA_TARGET, 64));
}

static void leave_disorder(void)
{
	u64 done = 0;

	lives++;
	for (u64 at = FIRST; at < END; at += 4096)
		*(volatile u64 *)at = ~0UL;
	while (done < GIVEN_BACK) {
		s64 n = hypercall(WEIR_HC_MEM_RELEASE, GIVEN_BACK_FRAME + done, GIVEN_BACK - done,
				  0);

		if (n <= 0) {
			CHECK_EQ("restart: memory can be given back", n, 1);
			return;
		}
		done += (u64)n;
	}
	wrmsr(MSR_TSC_AUX, 77);
	wrmsr(MSR_LSTAR, 0x12345000);
	wrmsr(MSR_KVM_SYSTEM_TIME_NEW, (u64)clock_page | 1);
	write_dr(0, 0x1000);
	CHECK_EQ("restart: an event's vector", hypercall(WEIR_HC_EVENT_VECTOR, VECTOR, 0, 0), 0);
	wrmsr(X2APIC(APIC_SELF_IPI), VECTOR);
	wrmsr(X2APIC(APIC_LVT_TIMER), LVT_PERIODIC | VECTOR);
	wrmsr(X2APIC(APIC_TIMER_DIVIDE), DIVIDE_BY_1);
	wrmsr(X2APIC(APIC_TIMER_INITIAL), 100000);
}

static enum way way;

/* SIPI starts the other CPU at this code in real mode, which jumps to the reset vector. */
static void jump_to_reset_vector(void)
{
	static const u8 far_jump[] = { 0xea, 0xf0, 0xff, 0x00, 0xf0 };

	for (u32 i = 0; i < sizeof(far_jump); i++)
		((volatile u8 *)0x8000UL)[i] = far_jump[i];
	wrmsr(X2APIC(APIC_ICR), ICR_ALL_BUT_SELF | ICR_INIT | ICR_ASSERT);
	wrmsr(X2APIC(APIC_ICR), ICR_ALL_BUT_SELF | ICR_STARTUP | 8);
	spin_us(1000000);
}

/* Each way stops the vCPU before it returns. */
static void reboot(void)
{
	switch (way) {
	case RESTART_BY_ACPI:
		outb(0x602, 1);
		break;
	case RESTART_BY_KEYBOARD:
		outb(0x64, 0xfe);
		break;
	case RESTART_BY_CONTROL:
		CHECK_EQ("restart: the reset control register", inb(0xcf9), 0);
		outb(0xcf9, 0xfb); /* all but the bit that resets */
		CHECK_EQ("restart: it reads as written", inb(0xcf9), 0x0a);
		outb(0xcf9, 0x0e);
		break;
	case RESTART_BY_HYPERCALL:
		hypercall(WEIR_HC_SHUTDOWN, 1, 0, 0);
		break;
	case RESTART_BY_VECTOR:
		jump_to_reset_vector();
		break;
	case RESTART_BY_FAULT:
		lidt(NULL, 1);
		__asm__ volatile("int3");
		break;
	case RESTART_BY_CR0:
		write_cr0((read_cr0() | CR0_NW) & ~CR0_CD);
		inb(0x80);
	}
	print("FAIL restart: the guest is still running\n");
}

/* Reboot during a transfer, which must not arrive. */
static void leave_device_busy(void)
{
	static u8 page[4096] __aligned(PAGE_SIZE);
	u32 ones = ~0u;

	edu_set(page, &ones, sizeof(ones));
	edu_msi(MSI_ADDRESS, VECTOR);
	edu_write_meanwhile(DMA_TARGET, sizeof(ones), reboot);
}

void test_restart(enum way by)
{
	u32 slot = config_find(EDU_ID);

	way = by;
	look_at_memory();
	look_at_cpu();
	if (slot)
		look_at_device(slot);
	print("restart: %u passed, %u failed\n", passed, failed);
	leave_disorder();
	if (slot)
		leave_device_busy();
	else
		reboot();
}
