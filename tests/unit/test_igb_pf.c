/* The driver of an 82576's physical function against registers that are memory: its answers, and
 * that no message gives a guest more than its own frames.
 *
 * sources: userland/drivers/igb_pf.c
 */
#include "test.h"

#include <userland/drivers/igb_pf.h>
#include <userland/drivers/igb_regs.h>
#include <kernel/lib/compiler.h>

#define NR 3

static const u8 own_mac[6] = { 0x00, 0x1b, 0x21, 0x0a, 0x0b, 0x0c };
static u8 regs[0x20000] __aligned(4096);
static struct pci_msix_entry msix[1];
static u16 command;
static bool has_virtual;
static interrupt_handler handler;
static char printed[1024];

static u32 reg(u32 at)
{
	u32 v;

	memcpy(&v, regs + at, 4);
	return v;
}

static void set(u32 at, u64 value)
{
	u32 v = (u32)value;

	memcpy(regs + at, &v, 4);
}

u32 pci_read32(const struct pci_device *d, u8 at)
{
	(void)d, (void)at;
	return 0;
}

u16 pci_read16(const struct pci_device *d, u8 at)
{
	(void)d;
	return at == PCI_COMMAND ? command : 0;
}

void pci_write16(const struct pci_device *d, u8 at, u16 value)
{
	(void)d;
	assert_int_equal(at, PCI_COMMAND);
	command = value;
}

bool pci_for_each(bool (*fn)(const struct pci_device *d, void *ctx), void *ctx)
{
	static const struct pci_device d = { .vendor = IGB_VENDOR, .id = IGB_82576 };

	return fn(&d, ctx);
}

u64 pci_bar(const struct pci_device *d, unsigned int bar)
{
	(void)d;
	return bar ? 0 : (u64)regs;
}

u32 pci_msix_table(const struct pci_device *d, volatile struct pci_msix_entry **table)
{
	(void)d;
	*table = msix;
	return 1;
}

void pci_msix_set(volatile struct pci_msix_entry *table, u32 entry, u8 vector)
{
	assert_int_equal(entry, 0);
	table[entry].data = vector;
}

void pci_msix_enable(const struct pci_device *d)
{
	(void)d;
}

u8 interrupt_allocate(interrupt_handler h, void *ctx)
{
	assert_null(ctx);
	assert_null(handler);
	handler = h;
	return 0x41;
}

/* A reset has completed when the driver looks; it restores the address from the NVM. */
void delay_us(u32 us)
{
	(void)us;
	if (!(reg(IGB_CTRL) & CTRL_RST))
		return;
	memset(regs, 0, sizeof(regs));
	set(IGB_STATUS, has_virtual ? STATUS_IOV | NR << 14 : 0);
	memcpy(regs + IGB_RAL(0), own_mac, 6);
	regs[IGB_RAH(0) + 3] = 0x80;
}

void print(const char *fmt, ...)
{
	size_t n = strlen(printed);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(printed + n, sizeof(printed) - n, fmt, ap);
	va_end(ap);
}

static int setup(void **state)
{
	(void)state;
	memset(regs, 0xa5, sizeof(regs));
	has_virtual = true;
	set(IGB_STATUS, STATUS_IOV | NR << 14);
	set(IGB_CTRL, 0);
	command = 0;
	printed[0] = 0;
	igb_pf_probe();
	return 0;
}

/* The first word of the answer to a message from the n-th function. */
static u32 ask(u32 n, u32 kind, const void *body, size_t size)
{
	set(IGB_VMBMEM(n), kind);
	memcpy(regs + IGB_VMBMEM(n) + 4, body, size);
	set(IGB_MBVFICR, MBVFICR_REQUEST(n));
	set(IGB_VFLRE, 0);
	handler(NULL);
	/* The last write to the mailbox releases the buffer. */
	assert_int_equal(reg(IGB_P2VMAILBOX(n)), P2V_STS);
	return reg(IGB_VMBMEM(n));
}

static bool granted(u32 n, u32 kind, const void *body, size_t size)
{
	u32 reply = ask(n, kind, body, size);

	assert_true(reply & MESSAGE_CTS);
	assert_int_equal(reply & (MESSAGE_INFO | MESSAGE_KIND), kind);
	assert_int_equal(!(reply & MESSAGE_ACK), !!(reply & MESSAGE_NACK));
	return reply & MESSAGE_ACK;
}

static const u8 *mac_of(u32 n)
{
	return regs + IGB_RAL(n + 1);
}

/* What must hold whatever the guests send. */
static void check(void)
{
	for (u32 n = 0; n < NR; n++) {
		assert_int_equal(reg(IGB_RAH(n + 1)) >> 16, (RAH_AV | RAH_POOL(n)) >> 16);
		assert_false(mac_of(n)[0] & 1);
		assert_memory_not_equal(mac_of(n), own_mac, 6);
		for (u32 i = 0; i < n; i++)
			assert_memory_not_equal(mac_of(n), mac_of(i), 6);
		/* Not all frames, not all multicast frames, no long frames. */
		assert_int_equal(reg(IGB_VMOLR(n)) & ~(u32)VMOLR_ROMPE, VMOLR_AUPE | VMOLR_BAM);
	}
	for (u32 i = NR + 1; i < 16; i++)
		assert_false(reg(IGB_RAH(i)) & RAH_AV);
	assert_int_equal(reg(IGB_VFTE), MASK(NR - 1, 0));
	assert_int_equal(reg(IGB_VFRE), MASK(NR - 1, 0));
	assert_int_equal(reg(IGB_MRQC), MRQC_VMDQ);
	assert_int_equal(reg(IGB_DTXSWC), DTXSWC_LOOPBACK | MASK(NR - 1, 0));
	assert_int_equal(reg(IGB_RCTL), RCTL_EN | RCTL_SECRC);
}

static void starts(void **state)
{
	(void)state;
	check();
	assert_non_null(strstr(printed, "serves 3 virtual functions"));
	assert_int_equal(command,
			 PCI_COMMAND_MEMORY | PCI_COMMAND_BUS_MASTER | PCI_COMMAND_INTX_DISABLE);
	assert_int_equal(msix[0].data, 0x41);
	assert_int_equal(reg(IGB_IMS), INT_VMMB);
	assert_true(reg(IGB_CTRL_EXT) & CTRL_EXT_PFRSTD);
	for (u32 n = 0; n < NR; n++)
		assert_int_equal(reg(IGB_VMBMEM(n)), MESSAGE_NACK | PF_CONTROL);
	/* Only once, until the function has been reset. */
	printed[0] = 0;
	igb_pf_probe();
	assert_int_equal(printed[0], 0);
	command = 0;
	igb_pf_probe();
	assert_non_null(strstr(printed, "serves 3"));
}

static void without_virtual_functions(void **state)
{
	(void)state;
	has_virtual = false;
	set(IGB_STATUS, 0);
	set(IGB_CTRL, 0);
	set(IGB_VFRE, 0);
	command = 0;
	printed[0] = 0;
	igb_pf_probe();
	assert_non_null(strstr(printed, "enable them with sriov="));
	assert_int_equal(command & PCI_COMMAND_BUS_MASTER, 0);
	assert_int_equal(reg(IGB_VFRE), 0);
}

static void reset_tells_the_address(void **state)
{
	u32 reply = ask(1, VF_RESET, "", 0);

	(void)state;
	assert_int_equal(reply, VF_RESET | MESSAGE_ACK);
	assert_memory_equal(regs + IGB_VMBMEM(1) + 4, mac_of(1), 6);
	check();
}

static void addresses(void **state)
{
	static const u8 good[6] = { 0x52, 0x54, 0, 1, 2, 3 }, group[6] = { 0x53, 0x54, 0, 1, 2, 3 },
			none[6];

	(void)state;
	assert_true(granted(0, VF_SET_MAC, good, 6));
	assert_memory_equal(mac_of(0), good, 6);
	assert_true(granted(0, VF_SET_MAC, good, 6));
	assert_false(granted(1, VF_SET_MAC, good, 6));
	assert_false(granted(1, VF_SET_MAC, group, 6));
	assert_false(granted(1, VF_SET_MAC, none, 6));
	assert_false(granted(1, VF_SET_MAC, own_mac, 6));
	assert_true(granted(1, VF_SET_MAC | MAC_FILTERS_CLEAR << 16, none, 6));
	assert_false(granted(1, VF_SET_MAC | 2 << 16, good, 6));
	check();
	/* A reset removes the address, so that the next owner does not inherit it. */
	set(IGB_VFLRE, BIT(0));
	set(IGB_MBVFICR, 0);
	set(IGB_CTRL_EXT, 0);
	handler(NULL);
	assert_memory_not_equal(mac_of(0), good, 6);
	assert_true(reg(IGB_CTRL_EXT) & CTRL_EXT_PFRSTD);
	assert_true(granted(1, VF_SET_MAC, good, 6));
	check();
}

static void multicasts(void **state)
{
	u16 hash[32] = { 0x001, 0xf23, 0xfff };

	(void)state;
	assert_true(granted(0, VF_SET_MULTICAST | 3 << 16, hash, sizeof(hash)));
	assert_int_equal(reg(IGB_MTA), 2);
	assert_int_equal(reg(IGB_MTA + 4 * (0xf23 >> 5)), 1 << 3);
	assert_int_equal(reg(IGB_MTA + 4 * 127), 0x80000000);
	assert_true(reg(IGB_VMOLR(0)) & VMOLR_ROMPE);
	hash[0] = 0x0002;
	assert_true(granted(2, VF_SET_MULTICAST | 1 << 16, hash, sizeof(hash)));
	assert_int_equal(reg(IGB_MTA), 2 | 4);
	/* Only its own are removed. */
	assert_true(granted(0, VF_SET_MULTICAST, hash, sizeof(hash)));
	assert_int_equal(reg(IGB_MTA), 4);
	assert_false(granted(0, VF_SET_MULTICAST | 31 << 16, hash, 60));
	assert_int_equal(reg(IGB_MTA), 4);
	check();
}

static void others(void **state)
{
	u32 word = 1522;

	(void)state;
	assert_true(granted(0, VF_SET_LPE, &word, 4));
	word = 1523;
	assert_false(granted(0, VF_SET_LPE, &word, 4));
	word = 7;
	assert_false(granted(0, VF_SET_VLAN | 1 << 16, &word, 4));
	assert_true(granted(0, VF_SET_VLAN, &word, 4));
	word = 0;
	assert_true(granted(0, VF_SET_VLAN | 1 << 16, &word, 4));
	assert_false(granted(0, 6, &word, 4));
	assert_false(granted(0, 0xffff, &word, 4));
	check();
	/* An acknowledgement is not answered. */
	set(IGB_VMBMEM(0), VF_RESET | MESSAGE_ACK);
	set(IGB_MBVFICR, MBVFICR_REQUEST(0));
	handler(NULL);
	assert_int_equal(reg(IGB_P2VMAILBOX(0)), P2V_ACK);
	assert_int_equal(reg(IGB_VMBMEM(0)), VF_RESET | MESSAGE_ACK);
}

static void anything(void **state)
{
	(void)state;
	srand(test_seed());
	for (u32 round = 0; round < 100000; round++) {
		u32 n = rand() % IGB_MAX_VF, word[MESSAGE_WORDS];

		for (u32 i = 0; i < MESSAGE_WORDS; i++)
			word[i] = (u32)rand() << 16 ^ (u32)rand();
		word[0] &= rand() % 2 ? 0xff0007 : ~0u;
		/* Often another function's address. */
		if (rand() % 4 == 0)
			memcpy(&word[1], mac_of(rand() % NR), 6);
		memcpy(regs + IGB_VMBMEM(n), word, sizeof(word));
		set(IGB_MBVFICR, rand() % 8 ? MBVFICR_REQUEST(n) : (u32)rand());
		set(IGB_VFLRE, rand() % 8 ? 0 : (u32)rand());
		handler(NULL);
		check();
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(starts, setup),
		cmocka_unit_test_setup(without_virtual_functions, setup),
		cmocka_unit_test_setup(reset_tells_the_address, setup),
		cmocka_unit_test_setup(addresses, setup),
		cmocka_unit_test_setup(multicasts, setup),
		cmocka_unit_test_setup(others, setup),
		cmocka_unit_test_setup(anything, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
