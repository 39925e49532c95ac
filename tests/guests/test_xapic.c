/* The local APIC in xAPIC mode: its page, its destinations, its changes of mode. */
#include <tests/guests/guest.h>

#define PAGE ((volatile u32 *)APIC_DEFAULT_ADDRESS)
#define REGISTER(n) PAGE[4 * (n)]
#define OFF (APIC_DEFAULT_ADDRESS | APIC_BASE_BSP)
#define VECTOR 0x92

/* Handlers write EOI to the MSR, which is not there in this mode. */
static bool comes(u32 destination, u32 command)
{
	u32 before = taken[VECTOR];

	REGISTER(APIC_ICR_HIGH) = destination << 24;
	REGISTER(APIC_ICR) = command | VECTOR;
	__asm__ volatile("sti; nop; nop; cli" ::: "memory");
	if (taken[VECTOR] == before)
		return false;
	REGISTER(APIC_EOI) = 0;
	return taken[VECTOR] == before + 1;
}

static void test_commands(void)
{
	CHECK("xapic: a command to itself", comes(0, ICR_SELF));
	CHECK("xapic: nothing in service after EOI", !REGISTER(APIC_ISR + VECTOR / 32));
	CHECK("xapic: to a physical destination", comes(0, 0));
	CHECK("xapic: to all", comes(0xff, 0));
	CHECK("xapic: to nobody", !comes(0x55, 0));
	CHECK_EQ("xapic: the command can be read", REGISTER(APIC_ICR) & 0xff, VECTOR);
	CHECK_EQ("xapic: its destination can be read", REGISTER(APIC_ICR_HIGH), 0x55000000u);
	REGISTER(APIC_DFR) = ~0u;
	REGISTER(APIC_LDR) = 0x24ffffff;
	CHECK_EQ("xapic: logical id", REGISTER(APIC_LDR), 0x24000000u);
	CHECK("xapic: flat", comes(0x04, ICR_LOGICAL) && !comes(0x40, ICR_LOGICAL));
	REGISTER(APIC_DFR) = 0;
	CHECK_EQ("xapic: cluster model", REGISTER(APIC_DFR), 0x0fffffffu);
	CHECK("xapic: of its cluster", comes(0x24, ICR_LOGICAL) && comes(0xf4, ICR_LOGICAL));
	CHECK("xapic: not of its cluster", !comes(0x34, ICR_LOGICAL) && !comes(0x28, ICR_LOGICAL));
}

void test_xapic(void)
{
	u64 value;

	if (under_weir)
		CHECK_EQ("xapic: no page in x2APIC mode", REGISTER(APIC_VERSION), ~0u);
	wrmsr(MSR_APIC_BASE, OFF);
	CHECK_EQ("xapic: off, not to x2APIC at once",
		 try_wrmsr(MSR_APIC_BASE, OFF | APIC_BASE_ENABLE | APIC_BASE_EXTD), EXC_GP);
	wrmsr(MSR_APIC_BASE, OFF | APIC_BASE_ENABLE);
	CHECK_EQ("xapic: the registers are no MSRs", try_rdmsr(X2APIC(APIC_ID), &value), EXC_GP);
	CHECK_EQ("xapic: id", REGISTER(APIC_ID), 0);
	CHECK_EQ("xapic: version", REGISTER(APIC_VERSION) & 0xf0, 0x10);
	REGISTER(APIC_SVR) = SVR_ENABLE | 0xff;
	REGISTER(APIC_TPR) = 0x60;
	CHECK_EQ("xapic: CR8 shows TPR", read_cr8(), 6);
	REGISTER(APIC_TPR) = 0;
	keep_in_service = VECTOR;
	test_commands();
	keep_in_service = 0;
	apic_on();
	CHECK_EQ("xapic: to x2APIC mode", rdmsr(X2APIC(APIC_ID)), 0);
}
