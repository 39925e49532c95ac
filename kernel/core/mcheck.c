/* Machine checks. See mcheck.h.
 *
 *	exception in Weir     trap()             collect; report and panic, or leave it to the poll
 *	exception in a guest  svm_handle_exit()  collect, report; end the domain, or go on
 *	corrected errors      a timer            collect, report
 */
#include <kernel/core/mcheck.h>

#include <kernel/core/clock.h>
#include <kernel/core/cpu.h>
#include <kernel/core/log.h>
#include <kernel/lib/string.h>
#include <kernel/mm/frame.h>
#include <kernel/x86/cpuid.h>
#include <kernel/x86/msr.h>

#define POLL_NS 10000000000UL
#define MAX_BANKS 64u
/* Errors that wait for mcheck_report() on one CPU. */
#define MAX_ERRORS 8u

struct error {
	u32 bank;
	u64 status, address, misc;
};

/* Each CPU uses only its own. */
static struct checker {
	u32 nr_banks;
	bool has_severity; /* MCG_CAP.SER_P */
	struct error error[MAX_ERRORS];
	u32 nr_errors;
	u32 not_kept; /* errors for which there was no room */
	u64 corrected, corrected_told; /* since the start */
	struct timer timer;
} checkers[MAX_CPUS];

static void (*describe_owner)(u16 owner, char *text, size_t size);

void mcheck_set_owner_hook(void (*describe)(u16 owner, char *text, size_t size))
{
	describe_owner = describe;
}

/* --- banks ---------------------------------------------------------------- */

/* The error in a bank, which is cleared; false: there is none. */
static bool take_error(u32 bank, struct error *e)
{
	*e = (struct error){ .bank = bank, .status = rdmsr(MSR_MC_STATUS(bank)) };
	if (!(e->status & MC_STATUS_VALID))
		return false;
	if (e->status & MC_STATUS_ADDRV)
		e->address = rdmsr(MSR_MC_ADDR(bank));
	if (e->status & MC_STATUS_MISCV)
		e->misc = rdmsr(MSR_MC_MISC(bank));
	wrmsr(MSR_MC_STATUS(bank), 0);
	return true;
}

static bool is_uncorrected(u64 status)
{
	return status & MC_STATUS_UC;
}

/* SDM vol. 3, 16.6.3: with MCG_CAP.SER_P an uncorrected error needs no action unless AR is set. AMD
 * has a bit for "task context corrupt" in the same place (APM vol. 2, 9.3.2.1). */
static enum mcheck judge(const struct checker *c, u64 status)
{
	if (!is_uncorrected(status))
		return MCHECK_GOES_ON;
	if (status & MC_STATUS_PCC)
		return MCHECK_FATAL;
	return c->has_severity && !(status & MC_STATUS_AR) ? MCHECK_GOES_ON : MCHECK_CONTEXT_LOST;
}

static enum mcheck worse(enum mcheck a, enum mcheck b)
{
	return a > b ? a : b;
}

static enum mcheck collect(struct checker *c)
{
	enum mcheck worst = MCHECK_GOES_ON;

	for (u32 bank = 0; bank < c->nr_banks; bank++) {
		struct error e;

		if (!take_error(bank, &e))
			continue;
		worst = worse(worst, judge(c, e.status));
		c->corrected += !is_uncorrected(e.status);
		if (c->nr_errors < MAX_ERRORS)
			c->error[c->nr_errors++] = e;
		else
			c->not_kept++;
	}
	return worst;
}

enum mcheck mcheck_collect(void)
{
	struct checker *c = &checkers[this_cpu()->id];
	u64 status = c->nr_banks ? rdmsr(MSR_MCG_STATUS) : 0;
	enum mcheck worst = collect(c);

	/* Nothing says where to go on. */
	if (!(status & MCG_STATUS_RIPV))
		worst = worse(worst, MCHECK_CONTEXT_LOST);
	/* Last: while MCIP is set, another machine check shuts the processor down. */
	if (c->nr_banks)
		wrmsr(MSR_MCG_STATUS, 0);
	return worst;
}

/* --- reports -------------------------------------------------------------- */

static const char *kind_of(u64 status)
{
	return !is_uncorrected(status) ? "corrected" :
	       status & MC_STATUS_PCC  ? "uncorrected, the processor's state is lost" :
	       status & MC_STATUS_AR   ? "uncorrected, in use" :
					 "uncorrected";
}

/* Where it is, and whose: a page of RAM has an owner. */
static void describe_place(const struct error *e, bool in_panic, char *text, size_t size)
{
	struct frame_info f;
	char owner[48];

	snprintf(text, size, "address unknown");
	if (!(e->status & MC_STATUS_ADDRV))
		return;
	snprintf(text, size, "address 0x%lx", e->address);
	if (!frame_query(e->address >> PAGE_SHIFT, &f))
		return;
	snprintf(owner, sizeof(owner), "owner %u", f.owner);
	if (describe_owner && !in_panic)
		describe_owner(f.owner, owner, sizeof(owner));
	snprintf(text, size, "address 0x%lx (%s, %s)", e->address, frame_type_name(f.type), owner);
}

static void report(const struct error *e, bool in_panic)
{
	char place[96];

	describe_place(e, in_panic, place, sizeof(place));
	log_err("machine check: CPU %u, bank %u: %s: status %016lx, %s, misc 0x%lx", this_cpu()->id,
		e->bank, kind_of(e->status), e->status, place, e->misc);
}

void mcheck_report(bool in_panic)
{
	static struct log_limit limit = LOG_LIMIT_INIT(20);
	struct checker *c = &checkers[this_cpu()->id];

	if (!c->nr_errors)
		return;
	for (u32 i = 0; i < c->nr_errors; i++)
		if (is_uncorrected(c->error[i].status) || log_allowed(&limit))
			report(&c->error[i], in_panic);
	if (c->not_kept)
		log_err("machine check: CPU %u: %u more errors, of which MAX_ERRORS (%u) are kept",
			this_cpu()->id, c->not_kept, MAX_ERRORS);
	if (c->corrected != c->corrected_told)
		log_warn("machine check: CPU %u: %lu corrected errors so far", this_cpu()->id,
			 c->corrected);
	c->nr_errors = c->not_kept = 0;
	c->corrected_told = c->corrected;
}

/* --- each CPU ------------------------------------------------------------- */

void mcheck_init_cpu(void)
{
	const u32 needed = CPUID1_EDX_MCE | CPUID1_EDX_MCA;
	struct checker *c = &checkers[this_cpu()->id];
	u64 cap;

	if ((cpuid(1, 0).edx & needed) != needed)
		return;
	cap = rdmsr(MSR_MCG_CAP);
	c->nr_banks = MIN((u32)FIELD_GET(MCG_CAP_COUNT, cap), MAX_BANKS);
	c->has_severity = cap & MCG_CAP_SER_P;
	(void)collect(c);
	mcheck_report(false);
	if (cap & MCG_CAP_CTL_P)
		wrmsr(MSR_MCG_CTL, ~0UL);
	for (u32 bank = 0; bank < c->nr_banks; bank++)
		wrmsr(MSR_MC_CTL(bank), ~0UL);
	wrmsr(MSR_MCG_STATUS, 0);
}

static void poll(struct timer *t)
{
	struct checker *c = &checkers[this_cpu()->id];

	(void)collect(c);
	mcheck_report(false);
	timer_set(t, clock_ns() + POLL_NS);
}

void mcheck_poll(void)
{
	struct checker *c = &checkers[this_cpu()->id];

	if (!c->nr_banks)
		return;
	timer_init(&c->timer, poll);
	timer_set(&c->timer, clock_ns() + POLL_NS);
}
