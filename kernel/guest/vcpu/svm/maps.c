/* SVM's two permission maps. All I/O exits. The only MSRs that do not exit are those that VMSAVE
 * and VMLOAD swap with the guest's anyway; kernel/guest/vcpu/msr.c handles the others. */
#include <kernel/guest/vcpu/svm/maps.h>

#include <kernel/core/paging.h>
#include <kernel/lib/errno.h>
#include <kernel/lib/string.h>
#include <kernel/mm/alloc.h>
#include <kernel/x86/msr.h>

#define IOPM_ORDER 2 /* 12 KiB, rounded up to four pages */
#define MSRPM_ORDER 1 /* 8 KiB: section 15.11 */

static u8 *iopm, *msrpm;

static const u32 passed[] = {
	MSR_SYSENTER_CS, MSR_SYSENTER_ESP, MSR_SYSENTER_EIP, MSR_STAR,	  MSR_LSTAR,
	MSR_CSTAR,	 MSR_SFMASK,	   MSR_FS_BASE,	     MSR_GS_BASE, MSR_KERNEL_GS_BASE,
};

/* Let reads and writes of this MSR pass. The map has two bits per MSR, for three ranges of MSRs
 * with 2 KiB each. */
static void pass(u32 msr)
{
	u32 bit = (msr & 0x1fff) * 2, base = msr >= 0xc0010000 ? 0x1000 :
					     msr >= 0xc0000000 ? 0x800 :
								 0;

	msrpm[base + bit / 8] &= (u8) ~(3u << bit % 8);
}

int svm_maps_init(void)
{
	mfn_t io, msr;

	if (msrpm)
		return 0;
	io = alloc_frames(IOPM_ORDER);
	msr = alloc_frames(MSRPM_ORDER);
	if (io == INVALID_MFN || msr == INVALID_MFN)
		return -ENOMEM;
	iopm = mfn_to_virt(io);
	memset(iopm, 0xff, PAGE_SIZE << IOPM_ORDER);
	msrpm = mfn_to_virt(msr);
	memset(msrpm, 0xff, PAGE_SIZE << MSRPM_ORDER);
	for (size_t i = 0; i < ARRAY_SIZE(passed); i++)
		pass(passed[i]);
	return 0;
}

paddr_t svm_iopm(void)
{
	return virt_to_phys(iopm);
}

paddr_t svm_msrpm(void)
{
	return virt_to_phys(msrpm);
}
