/* A programmable DMA engine (QEMU's edu device) in a guest's hands: it reaches all of the guest's own memory, and nothing else.
 * Without the device the group is skipped. Registers: QEMU's docs/specs/edu.rst. */
#include <tests/guests/guest.h>
#include <tests/guests/pci.h>

#include <kernel/abi/hypercall.h>

#define EDU_ID 0x11e81234u
#define EDU_DMA_SOURCE 0x80
#define EDU_DMA_DESTINATION 0x88
#define EDU_DMA_COUNT 0x90
#define EDU_DMA_COMMAND 0x98
#define EDU_START 1UL
#define EDU_TO_MEMORY 2UL
#define EDU_BUFFER 0x40000UL
#define SIZE 4096u

static volatile u8 *edu;
static u8 page[2][SIZE] __attribute__((aligned(4096)));

static bool find(void)
{
	for (u32 slot = 1; slot < 32; slot++) {
		if (config_read(slot, 0) != EDU_ID)
			continue;
		edu = (volatile u8 *)(u64)(config_read(slot, 0x10) & ~0xfu);
		config_write(slot, 4, 6); /* memory decoding, bus mastering */
		return true;
	}
	return false;
}

static void write64(u32 reg, u64 value)
{
	*(volatile u64 *)(edu + reg) = value;
}

/* Copy a page between the device's buffer and memory; false if it does not come to an end. */
static bool dma(u64 address, bool to_memory)
{
	write64(EDU_DMA_SOURCE, to_memory ? EDU_BUFFER : address);
	write64(EDU_DMA_DESTINATION, to_memory ? address : EDU_BUFFER);
	write64(EDU_DMA_COUNT, SIZE);
	write64(EDU_DMA_COMMAND, EDU_START | (to_memory ? EDU_TO_MEMORY : 0));
	for (u32 ms = 0; ms < 3000; ms++) {
		if (!(*(volatile u64 *)(edu + EDU_DMA_COMMAND) & EDU_START))
			return true;
		spin_us(1000);
	}
	return false;
}

static void fill(u8 *p, u8 seed)
{
	for (u32 i = 0; i < SIZE; i++)
		p[i] = (u8)(seed + i * 7);
}

static u32 differences(const u8 *p, u8 seed)
{
	u32 n = 0;

	for (u32 i = 0; i < SIZE; i++)
		n += ((const volatile u8 *)p)[i] != (u8)(seed + i * 7);
	return n;
}

static void own_memory_works(const char *name, u8 seed)
{
	fill(page[0], seed);
	fill(page[1], 0);
	CHECK(name, dma((u64)page[0], false) && dma((u64)page[1], true) && !differences(page[1], seed));
}

/* The device's buffer holds `seed`: what it tries to write there must not arrive anywhere, and reading from there must not
 * bring anything else in. */
static const u64 forbidden[] = {
	0x04000000, /* behind the guest's 64 MiB */
	0x10000000, /* RAM of Weir's or of another guest's */
	0x1f000000, /* where Weir's own tables are */
	0xb0000000, /* ECAM */
	0xfed90000, /* the remapping unit */
	0x7ffffff000, /* nothing */
};

static void forbidden_addresses(void)
{
	u8 *secret = page[0];

	for (u32 i = 0; i < ARRAY_SIZE(forbidden); i++) {
		fill(page[1], 0x55);
		CHECK("dma: a forbidden write ends",
		      dma((u64)page[1], false) && dma(forbidden[i], true));
		fill(secret, 0x11);
		/* What comes in from there is not memory: the buffer stays what it was, or all ones. */
		CHECK("dma: a forbidden read ends", dma(forbidden[i], false) && dma((u64)secret, true));
		CHECK("dma: nothing was read",
		      !differences(secret, 0x55) || secret[0] == secret[SIZE - 1]);
	}
}

/* A page that was given back is not the guest's any more: a write to it must not be found in what comes in its place. */
static void page_given_back(void)
{
	u64 gfn = 0x02000000 >> 12, dirty = 0;
	volatile u64 *p = (volatile u64 *)(gfn << 12);

	p[0] = 1;
	fill(page[1], 0x77);
	CHECK("dma: to a page that will go", dma((u64)page[1], false) && dma(gfn << 12, true));
	CHECK_EQ("dma: page released", hypercall(WEIR_HC_MEM_RELEASE, gfn, 1, 0), 1);
	CHECK("dma: to the page that went", dma(gfn << 12, true));
	CHECK_EQ("dma: page populated", hypercall(WEIR_HC_MEM_POPULATE, gfn, 1, 0), 1);
	for (u32 i = 0; i < SIZE / 8; i++)
		dirty |= p[i];
	CHECK_EQ("dma: the new page is clean", dirty, 0);
	CHECK("dma: to the new page", dma(gfn << 12, true));
	CHECK_EQ("dma: which arrives", differences((const u8 *)p, 0x77), 0);
}

void test_dma(void)
{
	if (!find()) {
		print("dma: no edu device, skipped\n");
		return;
	}
	own_memory_works("dma: own memory", 3);
	forbidden_addresses();
	page_given_back();
	own_memory_works("dma: own memory, after all that", 9);
}
