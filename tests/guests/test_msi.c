/* Forged interrupt messages (VT-d 5.1). A message is a write to 0xfeexxxxx, so a device with
 * programmable DMA can send any: in remappable format with the handles of others, or in
 * compatibility format with any vector for any CPU. If they were accepted, they would be interrupts
 * of other guests' devices, or Weir's own. Then invalid values in the device's MSI registers: NMI,
 * SMI, INIT, vectors of exceptions, addresses that are not for interrupts. Uses edu's DMA engine;
 * see tests/system/test_hostile.py.
 */
#include <tests/guests/edu.h>

#define DEVICE_VECTOR 0x65
#define TO_VCPU_0 MSI_ADDRESS
#define REMAPPABLE 0x10u
#define HANDLE(h) ((h) << 5)
#define HANDLE_15 0x4u
#define SUBHANDLE 0x8u /* the low half of the data is added to the handle */

static u8 page[EDU_BYTES] __aligned(PAGE_SIZE);

static u64 others_taken(void)
{
	u64 n = 0;

	for (u32 v = 0; v < 256; v++)
		n += v == DEVICE_VECTOR ? 0 : taken[v];
	return n;
}

static void own_interrupt_works(const char *name)
{
	u32 before = taken[DEVICE_VECTOR];

	edu_msi(TO_VCPU_0, DEVICE_VECTOR);
	edu_raise();
	for (u32 ms = 0; ms < 1000 && taken[DEVICE_VECTOR] == before; ms++)
		spin_us(1000);
	edu_acknowledge();
	CHECK_EQ(name, taken[DEVICE_VECTOR], before + 1);
}

static void send(u64 address, u32 data)
{
	edu_set(page, &data, sizeof(data));
	CHECK("msi: sending a forged message ends", edu_write(address, sizeof(data)));
}

/* The table has 4096 entries, 64 for each device. The guest's own is the first of one of the first
 * devices; sending that is allowed. */
static void handles_of_others(void)
{
	static const struct {
		u32 address, data;
	} forged[] = {
		{ HANDLE(0), 0 },
		{ HANDLE(1), 0 },
		{ HANDLE(2), 0 },
		{ HANDLE(3), 0 },
		{ HANDLE(64), 0 },
		{ HANDLE(65), 0 },
		{ HANDLE(6), 0 },
		{ HANDLE(0) | SUBHANDLE, 1 },
		{ HANDLE(200), 0 },
		{ HANDLE(255), 0 },
		{ HANDLE(200) | SUBHANDLE, 55 },
		{ HANDLE(4096), 0 },
		{ HANDLE(4095) | SUBHANDLE, 1 },
		{ HANDLE(0x7fff), 0 },
		{ HANDLE(0) | HANDLE_15, 0 },
		{ HANDLE(0x7fff) | HANDLE_15 | SUBHANDLE, 0xffff },
	};

	for (u32 i = 0; i < ARRAY_SIZE(forged); i++)
		send(TO_VCPU_0 | REMAPPABLE | forged[i].address, forged[i].data);
}

/* The unit blocks these (GCMD.CFI = 0), but QEMU's lets them through. Then they are interrupts
 * without a cause, which none of Weir's handlers may be fooled by: queue, faults, timer, requests
 * of other CPUs, devices. Vectors below 0x20 are left out: software cannot tell them from real
 * exceptions. */
static void old_format(void)
{
	static const u8 vectors[] = { 0x20, 0x30, 0x31, 0x32, 0x33, 0x40, 0xdf,
				      0xe0, 0xe1, 0xe2, 0xe5, 0xff, 0x80 };

	for (u32 i = 0; i < ARRAY_SIZE(vectors); i++)
		send(TO_VCPU_0 | (i & 1) << 12, vectors[i]);
}

/* Only fixed interrupts for a vCPU of this guest are delivered. */
static void messages_in_its_registers(void)
{
	static const struct {
		u64 address;
		u32 data;
	} messages[] = {
		{ TO_VCPU_0, 0x200 }, /* SMI */
		{ TO_VCPU_0, 0x400 }, /* NMI */
		{ TO_VCPU_0, 0x500 }, /* INIT */
		{ TO_VCPU_0, 0x600 | 0x08 }, /* SIPI */
		{ TO_VCPU_0, 0x700 }, /* ExtINT */
		{ TO_VCPU_0, 0x0e }, /* a page fault */
		{ TO_VCPU_0 | 1 << 12, DEVICE_VECTOR }, /* a vCPU that does not exist */
		{ TO_VCPU_0 | 0xfe << 12, DEVICE_VECTOR }, /* 0xff is all of them */
		{ 0xfec00000, DEVICE_VECTOR },
		{ 0xfed90000, DEVICE_VECTOR },
		{ 0x1fee00000, DEVICE_VECTOR },
		{ 0xffffffff00000000 | TO_VCPU_0, DEVICE_VECTOR },
		{ 0x100000, 0xdead },
	};
	u64 before = others_taken() + taken[DEVICE_VECTOR];

	for (u32 i = 0; i < ARRAY_SIZE(messages); i++) {
		edu_msi(messages[i].address, messages[i].data);
		edu_raise();
		spin_us(20000);
		edu_acknowledge();
	}
	CHECK_EQ("msi: invalid messages in its registers raise nothing",
		 others_taken() + taken[DEVICE_VECTOR], before);
}

void test_msi(void)
{
	u64 others;

	if (!under_weir || !edu_find()) {
		lacks("msi: needs an edu device (pci=)");
		return;
	}
	interrupts_on();
	own_interrupt_works("msi: its own interrupt");
	others = others_taken();
	print("msi: handles\n");
	handles_of_others();
	print("msi: the old format\n");
	old_format();
	CHECK("msi: a read of the interrupt window ends", edu_read(TO_VCPU_0, EDU_BYTES));
	print("msi: its registers\n");
	messages_in_its_registers();
	CHECK_EQ("msi: no other interrupt came", others_taken(), others);
	own_interrupt_works("msi: its own interrupt, after all that");
	edu_msi_off();
	interrupts_off();
}
