/* sources: */
/* Machine checks: what is read from a processor's banks, what is cleared, and what follows. */
#include "test.h"

#include <kernel/core/clock.h>
#include <kernel/core/cpu.h>
#include <kernel/core/log.h>
#include <kernel/core/mcheck.h>
#include <kernel/lib/string.h>
#include <kernel/mm/frame.h>
#include <kernel/x86/cpuid.h>
#include <kernel/x86/msr.h>

#define BANKS 6u
#define VALID MC_STATUS_VALID
#define DEFERRED BIT(44)
#define EVERYTHING (VALID | MC_STATUS_ADDRV | MC_STATUS_MISCV)

/* --- a processor ---------------------------------------------------------- */

static u64 bank[BANKS][4]; /* control, status, address, misc */
static u64 mcg_cap, mcg_status, mcg_ctl;
static u32 features;

static u64 test_rdmsr(u32 msr)
{
	if (msr == MSR_MCG_CAP)
		return mcg_cap;
	if (msr == MSR_MCG_STATUS)
		return mcg_status;
	assert_in_range(msr, MSR_MC_CTL(0), MSR_MC_MISC(BANKS - 1));
	msr -= MSR_MC_CTL(0);
	/* These exist only where the status says so. */
	assert_true(msr % 4 != 2 || bank[msr / 4][1] & MC_STATUS_ADDRV);
	assert_true(msr % 4 != 3 || bank[msr / 4][1] & MC_STATUS_MISCV);
	return bank[msr / 4][msr % 4];
}

static void test_wrmsr(u32 msr, u64 value)
{
	if (msr == MSR_MCG_STATUS) {
		/* Only when all banks are clear may the next machine check come. */
		for (u32 i = 0; i < BANKS; i++)
			assert_int_equal(bank[i][1], 0);
		mcg_status = value;
	} else if (msr == MSR_MCG_CTL) {
		assert_true(mcg_cap & MCG_CAP_CTL_P);
		mcg_ctl = value;
	} else {
		assert_in_range(msr, MSR_MC_CTL(0), MSR_MC_STATUS(BANKS - 1));
		assert_true(msr % 4 == 0 || value == 0);
		bank[(msr - MSR_MC_CTL(0)) / 4][msr % 4] = value;
	}
}

static struct cpuid test_cpuid(u32 leaf)
{
	return (struct cpuid){ .edx = leaf == 1 ? features : 0 };
}

static struct cpu cpu0;

#define rdmsr(msr) test_rdmsr(msr)
#define wrmsr(msr, value) test_wrmsr(msr, value)
#define cpuid(leaf, subleaf) test_cpuid(leaf)
#define this_cpu() (&cpu0)
#include <kernel/core/mcheck.c>

/* --- around it ------------------------------------------------------------ */

static char lines[32][256];
static u32 nr_lines;

void log_print(enum log_level level, const char *fmt, ...)
{
	va_list ap;

	(void)level;
	assert_true(nr_lines < ARRAY_SIZE(lines));
	va_start(ap, fmt);
	vsnprintf(lines[nr_lines++], sizeof(lines[0]), fmt, ap);
	va_end(ap);
}

static struct timer *armed;

void timer_init(struct timer *t, void (*fn)(struct timer *t))
{
	t->fn = fn;
}

void timer_set(struct timer *t, u64 ns)
{
	(void)ns;
	armed = t;
}

u64 clock_ns(void)
{
	return 0;
}

bool frame_query(mfn_t mfn, struct frame_info *info)
{
	*info = (struct frame_info){ .owner = 3 };
	return mfn < 0x100000;
}

const char *frame_type_name(enum frame_type type)
{
	(void)type;
	return "ram";
}

static void describe(u16 owner, char *text, size_t size)
{
	snprintf(text, size, "domain number %u", owner);
}

static void start(u64 cap)
{
	memset(bank, 0, sizeof(bank));
	memset(checkers, 0, sizeof(checkers));
	features = CPUID1_EDX_MCE | CPUID1_EDX_MCA;
	mcg_cap = cap | BANKS;
	mcg_status = mcg_ctl = 0;
	nr_lines = 0;
	mcheck_set_owner_hook(describe);
	mcheck_init_cpu();
	mcg_status = MCG_STATUS_MCIP | MCG_STATUS_RIPV;
}

static void expect(u32 line, const char *text)
{
	assert_true(line < nr_lines);
	if (!strstr(lines[line], text))
		fail_msg("\"%s\" is not in \"%s\"", text, lines[line]);
}

/* --- tests ---------------------------------------------------------------- */

static void all_banks_report(void **state)
{
	(void)state;
	memset(bank, 0xff, sizeof(bank));
	start(MCG_CAP_CTL_P);
	for (u32 i = 0; i < BANKS; i++)
		assert_int_equal(bank[i][0], ~0UL);
	assert_int_equal(mcg_ctl, ~0UL);
	start(0);
	assert_int_equal(mcg_ctl, 0);
	/* Without machine checks no MSR is touched. */
	memset(checkers, 0, sizeof(checkers));
	features = CPUID1_EDX_MCE;
	mcg_status = 77;
	mcheck_init_cpu();
	assert_int_equal(mcheck_collect(), MCHECK_CONTEXT_LOST);
	assert_int_equal(mcg_status, 77);
	armed = NULL;
	mcheck_poll();
	assert_null(armed);
}

/* What an earlier system has left is told, and gone. */
static void errors_from_before(void **state)
{
	(void)state;
	start(0);
	nr_lines = 0;
	bank[2][1] = EVERYTHING | MC_STATUS_UC;
	bank[2][2] = 0x1234000;
	mcheck_init_cpu();
	assert_int_equal(nr_lines, 1);
	expect(0, "bank 2: uncorrected");
}

static void what_follows(void **state)
{
	static const struct {
		u64 cap, mcg, status;
		enum mcheck result;
	} checks[] = {
		/* It was another CPU's. */
		{ 0, MCG_STATUS_RIPV, 0, MCHECK_GOES_ON },
		{ 0, 0, 0, MCHECK_CONTEXT_LOST },
		{ 0, MCG_STATUS_RIPV, VALID, MCHECK_GOES_ON },
		{ 0, MCG_STATUS_RIPV, VALID | DEFERRED, MCHECK_GOES_ON },
		{ 0, MCG_STATUS_RIPV, VALID | MC_STATUS_UC, MCHECK_CONTEXT_LOST },
		{ MCG_CAP_SER_P, MCG_STATUS_RIPV, VALID | MC_STATUS_UC, MCHECK_GOES_ON },
		{ MCG_CAP_SER_P, MCG_STATUS_RIPV, VALID | MC_STATUS_UC | MC_STATUS_AR,
		  MCHECK_CONTEXT_LOST },
		{ MCG_CAP_SER_P, 0, VALID | MC_STATUS_UC, MCHECK_CONTEXT_LOST },
		{ MCG_CAP_SER_P, MCG_STATUS_RIPV, VALID | MC_STATUS_UC | MC_STATUS_PCC,
		  MCHECK_FATAL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(checks); i++) {
		start(checks[i].cap);
		bank[4][1] = checks[i].status;
		mcg_status = checks[i].mcg | MCG_STATUS_MCIP;
		if (mcheck_collect() != checks[i].result)
			fail_msg("check %zu", i);
		assert_int_equal(bank[4][1], 0);
		assert_int_equal(mcg_status, 0);
		/* Nothing is logged before somebody may. */
		assert_int_equal(nr_lines, 0);
		mcheck_report(false);
		assert_true(!!nr_lines == !!checks[i].status);
	}
}

static void told_with_bank_and_domain(void **state)
{
	(void)state;
	start(MCG_CAP_SER_P);
	bank[1][1] = EVERYTHING | MC_STATUS_UC | 0x151;
	bank[1][2] = 0x12345678;
	bank[1][3] = 0x86;
	bank[5][1] = VALID;
	assert_int_equal(mcheck_collect(), MCHECK_GOES_ON);
	mcheck_report(false);
	assert_int_equal(nr_lines, 3);
	expect(0, "CPU 0, bank 1: uncorrected: status ac00000000000151");
	expect(0, "address 0x12345678 (ram, domain number 3), misc 0x86");
	expect(1, "bank 5: corrected");
	expect(1, "address unknown");
	expect(2, "1 corrected errors so far");
	mcheck_report(false);
	assert_int_equal(nr_lines, 3);
	/* In a panic nobody is asked for a name; an address need not be RAM. */
	nr_lines = 0;
	bank[1][1] = bank[2][1] = EVERYTHING | MC_STATUS_UC | MC_STATUS_PCC;
	bank[1][2] = 0x12345678;
	bank[2][2] = 0xfed00000000;
	assert_int_equal(mcheck_collect(), MCHECK_FATAL);
	mcheck_report(true);
	expect(0, "(ram, owner 3)");
	expect(1, "address 0xfed00000000, misc");
}

/* Corrected errors raise no exception: a timer finds, counts and tells them, not without end. */
static void corrected_errors_are_counted(void **state)
{
	(void)state;
	start(0);
	armed = NULL;
	mcheck_poll();
	for (u32 i = 1; i <= 5; i++) {
		struct timer *t = armed;

		assert_non_null(t);
		armed = NULL;
		nr_lines = 0;
		bank[3][1] = VALID;
		t->fn(t);
		assert_int_equal(bank[3][1], 0);
		assert_int_equal(checkers[0].corrected, i);
		assert_int_equal(nr_lines, 2);
	}
	/* More than are kept. */
	nr_lines = 0;
	for (u32 i = 0; i < 3; i++) {
		for (u32 k = 0; k < BANKS; k++)
			bank[k][1] = VALID;
		(void)mcheck_collect();
	}
	mcheck_report(false);
	expect(MAX_ERRORS, "10 more errors");
	assert_int_equal(checkers[0].corrected, 5 + 3 * BANKS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_banks_report),
		cmocka_unit_test(errors_from_before),
		cmocka_unit_test(what_follows),
		cmocka_unit_test(told_with_bank_and_domain),
		cmocka_unit_test(corrected_errors_are_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
