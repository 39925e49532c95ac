/* The control domain's device reaches the domain's memory at the addresses that Weir returns for
 * its pages, and at no others. tests/system/test_control_iommu.py sets control-iommu=. */
#include <tests/guests/edu.h>

#include <kernel/abi/hypercall.h>

static u8 page[2][EDU_BYTES] __aligned(PAGE_SIZE);

static u64 for_device(const void *p)
{
	return (u64)hypercall(WEIR_HC_DEVICE_FRAME, (u64)p >> 12, 0, 0) << 12;
}

static bool is(const u8 *p, u8 value)
{
	u32 n = 0;

	for (u32 i = 0; i < EDU_BYTES; i++)
		n += ((const volatile u8 *)p)[i] != value;
	return !n;
}

static void fill(u8 *p, u8 value)
{
	for (u32 i = 0; i < EDU_BYTES; i++)
		((volatile u8 *)p)[i] = value;
}

void test_machine(void)
{
	u64 from, to;

	if (!under_weir || !edu_find()) {
		lacks("machine: needs an edu device (pci=)");
		return;
	}
	from = for_device(page[0]);
	to = for_device(page[1]);
	CHECK_EQ("machine: no frame where there is no memory",
		 hypercall(WEIR_HC_DEVICE_FRAME, 0xc0000, 0, 0), -2);
	CHECK_EQ("machine: nor beyond all memory", hypercall(WEIR_HC_DEVICE_FRAME, ~0UL, 0, 0), -2);
	fill(page[0], 0x5a);
	fill(page[1], 0xa5);
	CHECK("machine: DMA by the device's addresses",
	      edu_read(from, EDU_BYTES) && edu_write(to, EDU_BYTES));
	CHECK("machine: it arrives", is(page[1], 0x5a));
	print("machine: addresses %s\n",
	      to == (u64)page[1] ? "are the guest's" : "are the machine's");
	if (to == (u64)page[1])
		return;
	fill(page[1], 0xa5);
	CHECK("machine: DMA by the guest's addresses ends", edu_write((u64)page[1], EDU_BYTES));
	CHECK("machine: it does not arrive", is(page[1], 0xa5));
}
