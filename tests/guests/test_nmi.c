/* NMIs: one in service, one that waits, until the IRET has completed. */
#include <tests/guests/guest.h>

#include <kernel/x86/trap.h>

#define TIMER 0x73
#define SHADOWED 100 /* NMIs sent into shadows */

static volatile u32 depth, deepest, seen;
static volatile u64 rip[4], rsp[4];
static void (*volatile in_first)(void);

static void send_self(void)
{
	wrmsr(X2APIC(APIC_ICR), ICR_TO(0) | ICR_NMI);
}

static void handler(struct trap_frame *f)
{
	u32 n = seen++;

	if (++depth > deepest)
		deepest = depth;
	if (n < ARRAY_SIZE(rip)) {
		rip[n] = f->rip;
		rsp[n] = f->rsp;
	}
	if (!n && in_first)
		in_first();
	depth--;
}

/* Take an NMI whose handler first calls `action`. */
static void nmi_with(void (*action)(void))
{
	seen = depth = deepest = 0;
	in_first = action;
	on_nmi = handler;
	send_self();
	/* The one that waited comes here at the latest. */
	__asm__ volatile("nop; nop; nop");
	on_nmi = NULL;
	in_first = NULL;
}

static void send_three(void)
{
	for (int i = 0; i < 3; i++) {
		send_self();
		(void)cpuid(0, 0);
	}
}

/* An IRET that pops selectors which do not exist. */
static void iret_that_faults(void)
{
	send_self();
	caught.vector = NONE;
	__asm__ volatile("movq $1f, %0\n\tmovq %%rsp, %%rbx\n\tpushq $0\n\tpushq %%rbx\n\t"
			 "pushq $2\n\tpushq $0xf8\n\tpushq $1f\n\tiretq\n"
			 "1:\n\tmovq %%rbx, %%rsp\n\tmovq $0, %0"
			 : "=m"(caught.resume)::"rbx", "memory", "cc");
}

static volatile u32 before_timer;

static void halt_in_handler(void)
{
	send_self();
	taken[TIMER] = 0;
	wrmsr(X2APIC(APIC_TIMER_DIVIDE), DIVIDE_BY_1);
	wrmsr(X2APIC(APIC_LVT_TIMER), TIMER);
	wrmsr(X2APIC(APIC_TIMER_INITIAL), 2000000);
	__asm__ volatile("sti; hlt; cli" ::: "memory");
	before_timer = taken[TIMER] ? 0 : seen;
}

static void iret_in_handler(void)
{
	send_self();
	/* RSP is the same before and after. */
	__asm__ volatile("movq %%rsp, %%rax\n\tpushq $0\n\tpushq %%rax\n\tpushfq\n\tpushq $8\n\t"
			 "pushq $1f\n\tiretq\n1:\n\tnop" ::
				 : "rax", "memory", "cc");
}

static void single_step_iret(void)
{
	send_self();
	caught.vector = NONE;
	/* TF is set while the IRET executes; it pops RFLAGS without it. */
	__asm__ volatile("movq %%rsp, %%rax\n\tpushq $0x10\n\tpushq %%rax\n\tpushq $2\n\t"
			 "pushq $8\n\tpushq $1f\n\tpushfq\n\torl $0x100, (%%rsp)\n\tpopfq\n\t"
			 "iretq\n1:\n\tnop" ::
				 : "rax", "memory", "cc");
}

static void test_self(void)
{
	u64 dr6;

	nmi_with(NULL);
	CHECK_EQ("nmi: one to itself", seen, 1);

	write_dr(6, DR6_RESET);
	nmi_with(send_three);
	CHECK_EQ("nmi: none while one is in service", deepest, 1);
	CHECK_EQ("nmi: one waits behind one in service", seen, 2);
	CHECK_EQ("nmi: it comes right after the IRET", rip[1], rip[0]);
	CHECK_EQ("nmi: on the same stack", rsp[1], rsp[0]);
	dr6 = read_dr(6);
	CHECK_EQ("nmi: DR6 is as it was", dr6 & 0xffff, DR6_RESET & 0xffff);
	nmi_with(NULL);
	CHECK_EQ("nmi: none is left", seen, 1);

	nmi_with(iret_in_handler);
	CHECK_EQ("nmi: an IRET inside the handler lets the next one come", deepest, 2);

	nmi_with(iret_that_faults);
	CHECK_EQ("nmi: IRET faults", caught.vector, EXC_GP);
	CHECK_EQ("nmi: with its selector", caught.error, 0xf8);
	CHECK_EQ("nmi: RFLAGS.TF is not seen then", caught.rflags & RFLAGS_TF, 0);
	CHECK_EQ("nmi: the next one comes after an IRET that completes", seen, 2);

	nmi_with(single_step_iret);
	CHECK_EQ("nmi: IRET is single-stepped", caught.vector, EXC_DB);
	CHECK_EQ("nmi: DR6.BS says so", caught.dr6 & DR6_BS, DR6_BS);
	CHECK_EQ("nmi: the next one comes then too", seen, 2);
	write_dr(6, DR6_RESET);

	nmi_with(halt_in_handler);
	CHECK_EQ("nmi: one that waits does not end HLT", before_timer, 0);
	CHECK_EQ("nmi: it comes after the next IRET", seen, 2);
}

/* --- from another CPU ----------------------------------------------------- */

static volatile u32 go, sent;
static volatile u32 in_shadow;
extern const u8 after_mov_ss[], after_sti[];

static void sender(void)
{
	for (u32 n = 1;; n++) {
		while (go < n)
			cpu_relax();
		wrmsr(X2APIC(APIC_ICR), ICR_TO(0) | ICR_NMI);
		wrmsr(X2APIC(APIC_ICR), ICR_TO(0) | ICR_NMI);
		sent = n;
	}
}

static void count_shadows(struct trap_frame *f)
{
	if (f->rip == (u64)after_mov_ss || f->rip == (u64)after_sti)
		in_shadow++;
	seen++;
}

/* Wait until `nr` NMIs have come, or none comes any more. */
static bool wait_seen(u32 nr)
{
	u64 end = rdtsc_ordered() + 2000 * (tsc_khz ? tsc_khz : 2000000);

	while (seen < nr && rdtsc_ordered() < end)
		cpu_relax();
	return seen == nr;
}

static bool pairs_arrive(void)
{
	on_nmi = count_shadows;
	for (u32 n = 1; n <= 20; n++) {
		seen = 0;
		go = n;
		if (!wait_seen(2))
			return false;
	}
	return true;
}

/* Most of this loop is in the shadow of something. */
static u32 shadows(void)
{
	u32 first = go, wrong = 0;

	seen = in_shadow = 0;
	while (seen < SHADOWED) {
		u64 flags;

		if (sent == go && go - first < 2 * SHADOWED)
			go = go + 1;
		else if (go - first >= 2 * SHADOWED)
			break;
		for (int i = 0; i < 100; i++) {
			__asm__ volatile("cli\n\tmovl $0x10, %%eax\n\t"
					 "movl %%eax, %%ss\nafter_mov_ss:\n\tnop\n\t"
					 "sti\nafter_sti:\n\tcli\n\tpushfq\n\tpopq %0"
					 : "=r"(flags)::"rax", "memory", "cc");
			wrong += (flags & RFLAGS_TF) != 0;
		}
	}
	return wrong;
}

static void test_from_another(void)
{
	u32 wrong;

	if (!under_weir || cpuid(0xb, 1).ebx < 2) {
		print("nmi: only one CPU, or QEMU's, where NMIs come in shadows\n");
		return;
	}
	CHECK("nmi: another CPU is there", smp_start(sender));
	CHECK("nmi: of two at once both come", pairs_arrive());
	wrong = shadows();
	CHECK_EQ("nmi: none in the shadow of STI or MOV SS", in_shadow, 0);
	CHECK_EQ("nmi: RFLAGS.TF is not seen in a shadow", wrong, 0);
	on_nmi = NULL;
	wrmsr(X2APIC(APIC_ICR), ICR_ALL_BUT_SELF | ICR_INIT | ICR_ASSERT);
}

void test_nmi(void)
{
	interrupts_off();
	test_self();
	test_from_another();
}
