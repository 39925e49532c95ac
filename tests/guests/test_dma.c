/* A programmable DMA engine (QEMU's edu device) under a guest's control reaches all of the guest's
 * own memory, and nothing else.
 *
 * A guest cannot find out the machine addresses of Weir's tables or of other guests' memory. So it
 * keeps a mailbox in its memory, into which tests/system/test_dma.py writes the addresses to try.
 * Without the test outside, that part is skipped. */
#include <tests/guests/edu.h>

#include <kernel/abi/hypercall.h>

#define SIZE EDU_BYTES
#define MAX_TARGETS 60
#define WITHDRAWN 0x2400000UL /* a page that the guest releases during DMA */

static u8 page[2][SIZE] __aligned(PAGE_SIZE);

static volatile struct {
	u64 magic[2];
	u64 nr; /* written last, by the test outside; and 0 once it has looked */
	u64 address[MAX_TARGETS];
} mailbox __aligned(PAGE_SIZE);

/* The magic words are complements, so that the test does not find them in the ELF file too. */
static void open_mailbox(void)
{
	mailbox.magic[1] = ~0x61627564206f7420UL;
	mailbox.magic[0] = ~0x7265616368206d65UL;
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

static bool uniform(const u8 *p)
{
	u32 n = 0;

	for (u32 i = 1; i < SIZE; i++)
		n += ((const volatile u8 *)p)[i] != ((const volatile u8 *)p)[0];
	return !n;
}

static void own_memory_works(const char *name, u8 seed)
{
	fill(page[0], seed);
	fill(page[1], 0);
	CHECK(name, edu_read((u64)page[0], SIZE) && edu_write((u64)page[1], SIZE) &&
			    !differences(page[1], seed));
}

/* Writes to this address must not arrive, and reads must not return its contents: the device's
 * buffer stays unchanged, or is filled with equal bytes, as from an address where nothing
 * responds. */
static void reach_for(u64 address)
{
	u8 *seen = page[0];

	fill(page[1], 0x55);
	CHECK("dma: a forbidden write ends",
	      edu_read((u64)page[1], SIZE) && edu_write(address, SIZE));
	fill(seen, 0x11);
	CHECK("dma: a forbidden read ends", edu_read(address, SIZE) && edu_write((u64)seen, SIZE));
	if (differences(seen, 0x55) && !uniform(seen))
		CHECK_EQ("dma: nothing was read", address, 0);
}

static void forbidden_addresses(void)
{
	open_mailbox();
	print("dma: where to reach?\n");
	for (u32 ms = 0; !mailbox.nr && ms < 60000; ms++)
		spin_us(1000);
	for (u64 i = 0; i < mailbox.nr && i < MAX_TARGETS; i++)
		reach_for(mailbox.address[i]);
	print("dma: reached for %lu addresses\n", mailbox.nr);
	for (u32 ms = 0; mailbox.nr && ms < 60000; ms++)
		spin_us(1000);
}

/* A transfer that starts in the last page of the guest's memory and ends beyond it. */
static void across_the_end(void)
{
	struct weir_stats *stats = (struct weir_stats *)page[0];
	u64 end, missing = 0;

	(void)hypercall(WEIR_HC_STATS, (u64)stats, sizeof(*stats), 0);
	end = stats->pages_owned << 12;
	fill(page[1], 0x33);
	fill((u8 *)(end - SIZE), 0);
	CHECK("dma: across the end of memory",
	      edu_read((u64)page[1], SIZE) && edu_write(end - SIZE / 2, SIZE));
	fill(page[0], 0x33);
	for (u32 i = 0; i < SIZE / 2; i++)
		missing += ((volatile u8 *)end - SIZE / 2)[i] != page[0][i];
	CHECK_EQ("dma: the part inside arrives", missing, 0);
}

/* A page that was given back no longer belongs to the guest: a write to it must not show up in the
 * page that replaces it. */
static void page_given_back(void)
{
	u64 gfn = 0x02000000 >> 12, dirty = 0;
	volatile u64 *p = (volatile u64 *)(gfn << 12);

	p[0] = 1;
	fill(page[1], 0x77);
	CHECK("dma: to a page that will be released",
	      edu_read((u64)page[1], SIZE) && edu_write(gfn << 12, SIZE));
	CHECK_EQ("dma: page released", hypercall(WEIR_HC_MEM_RELEASE, gfn, 1, 0), 1);
	CHECK("dma: to the page that was released", edu_write(gfn << 12, SIZE));
	CHECK_EQ("dma: page populated", hypercall(WEIR_HC_MEM_POPULATE, gfn, 1, 0), 1);
	for (u32 i = 0; i < SIZE / 8; i++)
		dirty |= p[i];
	CHECK_EQ("dma: the new page is clean", dirty, 0);
	CHECK("dma: to the new page", edu_write(gfn << 12, SIZE));
	CHECK_EQ("dma: the write arrives", differences((const u8 *)p, 0x77), 0);
}

static void bus_master_off(void)
{
	edu_bus_master(false);
}

static void release_page(void)
{
	CHECK_EQ("dma: page released in the middle",
		 hypercall(WEIR_HC_MEM_RELEASE, WITHDRAWN >> 12, 1, 0), 1);
}

/* Bus mastering is disabled, or the page is released, just before the device writes. */
static void withdrawn_meanwhile(void)
{
	u64 dirty = 0;

	fill(page[1], 0x66);
	CHECK("dma: the buffer is filled", edu_read((u64)page[1], SIZE));
	fill(page[0], 0x22);
	CHECK("dma: bus mastering goes off in the middle",
	      edu_write_meanwhile((u64)page[0], SIZE, bus_master_off));
	CHECK_EQ("dma: nothing arrives without it", differences(page[0], 0x22), 0);
	edu_bus_master(true);
	CHECK("dma: with bus mastering on again", edu_write((u64)page[0], SIZE));
	CHECK_EQ("dma: it arrives", differences(page[0], 0x66), 0);

	CHECK("dma: to a page that is released in the middle",
	      edu_write_meanwhile(WITHDRAWN, SIZE, release_page));
	CHECK_EQ("dma: another page comes in its place",
		 hypercall(WEIR_HC_MEM_POPULATE, WITHDRAWN >> 12, 1, 0), 1);
	for (u32 i = 0; i < SIZE / 8; i++)
		dirty |= ((volatile u64 *)WITHDRAWN)[i];
	CHECK_EQ("dma: that page is clean", dirty, 0);
}

void test_dma(void)
{
	if (!under_weir || !edu_find()) {
		lacks("dma: needs an edu device (pci=)");
		return;
	}
	own_memory_works("dma: own memory", 3);
	across_the_end();
	forbidden_addresses();
	page_given_back();
	withdrawn_meanwhile();
	own_memory_works("dma: own memory, after all that", 9);
}
