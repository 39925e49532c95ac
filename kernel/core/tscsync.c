/* Two messages and three readings: the CPU that starts reads its TSC, then the bootstrap processor,
 * then again the first. If the clocks agree, no reading is before an earlier one. */
#include <kernel/core/tscsync.h>

#include <kernel/lib/atomic.h>
#include <kernel/x86/cpuid.h>
#include <kernel/x86/msr.h>
#include <kernel/x86/tsc.h>

static u64 adjust; /* the bootstrap processor's IA32_TSC_ADJUST */
static u64 arrived, answered; /* the first two readings; 0: not yet */
static u32 result; /* enum tscsync */

static bool has_adjust(void)
{
	return cpuid(0, 0).eax >= 7 && cpuid(7, 0).ebx & CPUID7_EBX_TSC_ADJUST;
}

void tscsync_begin(void)
{
	adjust = has_adjust() ? rdmsr(MSR_TSC_ADJUST) : 0;
	write_once(&arrived, 0);
	write_once(&answered, 0);
	store_release(&result, TSC_UNKNOWN);
}

enum tscsync tscsync_poll(void)
{
	u64 theirs = load_acquire(&arrived), mine;

	if (theirs && !read_once(&answered)) {
		mine = rdtsc_ordered();
		if (theirs > mine)
			write_once(&result, TSC_AHEAD);
		store_release(&answered, mine);
	}
	return (enum tscsync)load_acquire(&result);
}

bool tscsync_join(void)
{
	u64 theirs;

	/* SDM vol. 3, 18.17.3: the same adjustment since the reset gives the same TSC. */
	if (has_adjust() && rdmsr(MSR_TSC_ADJUST) != adjust)
		wrmsr(MSR_TSC_ADJUST, adjust);
	store_release(&arrived, rdtsc_ordered());
	do {
		cpu_relax();
		theirs = load_acquire(&answered);
	} while (!theirs);
	if (read_once(&result) == TSC_UNKNOWN)
		store_release(&result, rdtsc_ordered() < theirs ? TSC_BEHIND : TSC_AGREES);
	return read_once(&result) == TSC_AGREES;
}
