/* Enabling virtual functions in a simulated configuration space: which ids they get, where their
 * registers are, and that none is enabled where it would overlap something else.
 *
 * sources: drivers/sriov.c drivers/pcibar.c kernel/lib/rangeset.c kernel/lib/pci_id.c
 */
#include "test.h"

#include <drivers/pci.h>
#include <drivers/sriov.h>
#include <kernel/mm/bootmem.h>
#include <kernel/core/clock.h>
#include <kernel/core/log.h>
#include <kernel/lib/rangeset.h>

#define MB (1UL << 20)
#define PORT PCI_BDF(0, 4, 0)
#define PF PCI_BDF(1, 0, 0)
#define PORT_PCIE 0x40
#define SRIOV 0x160
#define CONTROL (SRIOV + 0x08)
#define VF_ENABLE 0x01
#define TOTAL 8
#define VF_DEVICE 0x10ca
#define BAR(i) (SRIOV + 0x24 + 4 * (i))

/* Without ARI forwarding, the device's virtual functions are on the next bus. */
#define FIRST_WITH_ARI 0x80
#define FIRST_WITHOUT 0x180
#define STRIDE 2

struct function {
	u16 bdf;
	u8 config[4096];
	/* The BARs in its SR-IOV capability: type bits and size; 0: no BAR. A 64-bit BAR takes
	 * two. */
	struct {
		u32 type;
		u64 size;
	} vf_bar[PCI_BARS];
};

static struct function port, pf, neighbour;
static struct function *const functions[] = { &port, &pf, &neighbour };
static struct pci_device devices[32];
static u32 nr_devices;
static bool integrated;
static u32 answering; /* this many virtual functions respond */
static u64 now_ns, enabled_at;
static char last_error[256];
static u32 errors;

void log_print(enum log_level level, const char *fmt, ...)
{
	va_list ap;

	if (level != LOG_ERR)
		return;
	va_start(ap, fmt);
	vsnprintf(last_error, sizeof(last_error), fmt, ap);
	va_end(ap);
	errors++;
}

u64 clock_ns(void)
{
	return now_ns += 1000000;
}

#define RAM_LAST (512 * MB - 1)

const struct rangeset *bootmem_ram(void)
{
	static struct range range[1] = { { 0, RAM_LAST >> PAGE_SHIFT } };
	static struct rangeset ram = { .range = range, .nr = 1, .max = 1 };

	return &ram;
}

bool pci_is_bridge(const struct pci_device *d)
{
	return d->header == 1;
}

bool pci_ecam_overlaps(paddr_t first, paddr_t last)
{
	return last >= 0xb0000000 && first < 0xc0000000;
}

struct pci_device *pci_device_at(u32 index)
{
	return index < nr_devices ? &devices[index] : NULL;
}

static u32 peek(const struct function *f, u32 offset, u32 size)
{
	u32 v = 0;

	memcpy(&v, f->config + offset, size);
	return v;
}

u8 pci_secondary_bus(const struct pci_device *bridge)
{
	return pci_read8(bridge, PCI_SECONDARY_BUS);
}

const struct pci_device *pci_bridge_above(const struct pci_device *d)
{
	return peek(&port, PCI_SECONDARY_BUS, 1) == (u32)d->id.bdf >> 8 ? &devices[0] : NULL;
}

struct pci_device *pci_find(struct pci_id id)
{
	for (u32 i = 0; i < nr_devices; i++)
		if (devices[i].id.bdf == id.bdf)
			return &devices[i];
	return NULL;
}

/* --- configuration space -------------------------------------------------- */

static void poke(struct function *f, u32 offset, u32 size, u32 v)
{
	memcpy(f->config + offset, &v, size);
}

static u16 first_offset(void)
{
	bool forwarded = peek(&port, PORT_PCIE + 0x28, 2) & 0x20;

	if (integrated)
		return FIRST_WITH_ARI;
	return forwarded && (peek(&pf, CONTROL, 2) & 0x10) ? FIRST_WITH_ARI : FIRST_WITHOUT;
}

static bool answers(u16 bdf)
{
	u32 n = (u32)(bdf - PF - first_offset()) / STRIDE;

	if (!(peek(&pf, CONTROL, 2) & VF_ENABLE) || n >= peek(&pf, SRIOV + 0x10, 2))
		return false;
	/* 9.3.3.3.1 */
	assert_true(now_ns - enabled_at >= 100000000);
	return n < answering;
}

static u32 config_read(u16 bdf, u32 offset, u32 size)
{
	assert_int_equal(offset % size, 0);
	if (bdf == PF && offset == SRIOV + 0x14)
		return first_offset();
	for (u32 i = 0; i < ARRAY_SIZE(functions); i++)
		if (functions[i]->bdf == bdf)
			return peek(functions[i], offset, size);
	return answers(bdf) && offset == PCI_REVISION ? 0x02000001 : ~0u;
}

/* A BAR keeps its bits from its size upwards; nothing in the capability can be changed while the
 * functions are enabled. */
static void write_vf_bar(u32 i, u32 v)
{
	bool upper = i && (pf.vf_bar[i - 1].type & 4);
	u64 size = pf.vf_bar[upper ? i - 1 : i].size;

	assert_false(peek(&pf, CONTROL, 2) & VF_ENABLE);
	if (!size)
		return;
	if (upper)
		v &= (u32)(~(size - 1) >> 32);
	else
		v = (v & (u32) ~(size - 1)) | pf.vf_bar[i].type;
	poke(&pf, BAR(i), 4, v);
}

static void config_write(u16 bdf, u32 offset, u32 size, u32 v)
{
	assert_int_equal(offset % size, 0);
	if (bdf == PORT) {
		/* The firmware configures its routing. */
		assert_int_equal(offset, PORT_PCIE + 0x28);
		poke(&port, offset, size, v);
		return;
	}
	assert_int_equal(bdf, PF);
	if (offset >= BAR(0) && offset < BAR(PCI_BARS)) {
		assert_int_equal(size, 4);
		write_vf_bar((offset - BAR(0)) / 4, v);
		return;
	}
	assert_in_range(offset, SRIOV, SRIOV + 0x23);
	if (offset == CONTROL && (v & VF_ENABLE))
		enabled_at = now_ns;
	poke(&pf, offset, size, v);
}

#define ACCESS(bits)                                                                               \
	u##bits pci_config_read##bits(u16 segment, u16 bdf, u16 offset)                            \
	{                                                                                          \
		(void)segment;                                                                     \
		return (u##bits)config_read(bdf, offset, bits / 8);                                \
	}                                                                                          \
	void pci_config_write##bits(u16 segment, u16 bdf, u16 offset, u##bits v)                   \
	{                                                                                          \
		(void)segment;                                                                     \
		config_write(bdf, offset, bits / 8, v);                                            \
	}
ACCESS(8)
ACCESS(16)
ACCESS(32)

struct pci_device *pci_add_virtual(const struct pci_device *physical, u16 bdf, u16 device,
				   const struct pci_bar bar[PCI_BARS])
{
	struct pci_device *d = &devices[nr_devices++];

	assert_true(nr_devices <= ARRAY_SIZE(devices));
	*d = (struct pci_device){ .id = { 0, bdf }, .physical = physical, .device = device };
	memcpy(d->bar, bar, sizeof(d->bar));
	return d;
}

/* --- the machine: a port, a device behind it, and one on the root bus ----- */

static void set_window(u32 reg, u64 first, u64 last)
{
	poke(&port, reg, 4, (u32)(first >> 16 & 0xfff0) | (u32)(last & 0xfff00000));
}

static int setup(void **state)
{
	(void)state;
	memset(&port, 0, sizeof(port));
	memset(&pf, 0, sizeof(pf));
	memset(&neighbour, 0, sizeof(neighbour));
	port.bdf = PORT;
	pf.bdf = PF;
	neighbour.bdf = PCI_BDF(0, 5, 0);
	poke(&port, PCI_SECONDARY_BUS, 1, 1);
	poke(&port, PCI_SECONDARY_BUS + 1, 1, 1);
	poke(&port, PORT_PCIE + 0x24, 4, 0x20);
	set_window(0x20, 0xfe600000, 0xfe7fffff);
	set_window(0x24, 0xfea00000, 0xfebfffff);
	poke(&pf, SRIOV + 0x0e, 2, TOTAL);
	poke(&pf, SRIOV + 0x16, 2, STRIDE);
	poke(&pf, SRIOV + 0x1a, 2, VF_DEVICE);
	pf.vf_bar[0].type = pf.vf_bar[3].type = 0xc;
	pf.vf_bar[0].size = pf.vf_bar[3].size = 0x4000;
	for (u32 i = 0; i < PCI_BARS; i++)
		poke(&pf, BAR(i), 4, pf.vf_bar[i].type);

	nr_devices = 3;
	devices[0] = (struct pci_device){ .id = { 0, PORT }, .header = 1, .pcie = PORT_PCIE };
	devices[1] = (struct pci_device){
		.id = { 0, PF }, .vendor = 0x8086, .sriov = SRIOV, .ari = 0x150
	};
	devices[1].bar[0] = (struct pci_bar){ .base = 0xfe600000, .size = 0x20000 };
	devices[1].bar[3] = (struct pci_bar){ .base = 0xfe640000, .size = 0x4000 };
	devices[2] = (struct pci_device){ .id = { 0, PCI_BDF(0, 5, 0) } };
	devices[2].bar[0] = (struct pci_bar){ .base = 0xfd000000, .size = 0x1000 };
	answering = TOTAL;
	integrated = false;
	errors = 0;
	return 0;
}

static bool is_on(void)
{
	return peek(&pf, CONTROL, 2) & VF_ENABLE;
}

static bool collide(const struct pci_bar *a, const struct pci_bar *b)
{
	return a->size && b->size && a->base < b->base + b->size && b->base < a->base + a->size;
}

/* What must hold whenever the functions are enabled. */
static void check(u32 nr)
{
	assert_true(is_on());
	assert_int_equal(peek(&pf, CONTROL, 2) & 0x9, 0x9);
	assert_int_equal(peek(&pf, SRIOV + 0x10, 2), nr);
	assert_int_equal(peek(&pf, SRIOV + 0x20, 4), 1);
	assert_int_equal(devices[1].nr_virtual, nr);
	assert_int_equal(nr_devices, 3 + nr);
	for (u32 n = 0; n < nr; n++) {
		const struct pci_device *d = &devices[3 + n];

		assert_int_equal(d->id.bdf, PF + first_offset() + n * STRIDE);
		assert_int_equal(d->device, VF_DEVICE);
		assert_ptr_equal(d->physical, &devices[1]);
		for (u32 i = 0; i < PCI_BARS; i++) {
			u64 first = peek(&pf, BAR(i), 4) & ~0xfu;

			assert_int_equal(d->bar[i].size, pf.vf_bar[i].size);
			if (!d->bar[i].size)
				continue;
			if (pf.vf_bar[i].type & 4)
				first |= (u64)peek(&pf, BAR(i + 1), 4) << 32;
			assert_int_equal(d->bar[i].base, first + n * d->bar[i].size);
			for (u32 k = 0; k < nr_devices; k++)
				for (u32 m = 0; m < PCI_BARS; m++)
					assert_false(&devices[k].bar[m] != &d->bar[i] &&
						     collide(&devices[k].bar[m], &d->bar[i]));
			assert_false(d->bar[i].base <= RAM_LAST);
		}
	}
}

static void refused(u32 nr, const char *why)
{
	pci_enable_virtual((struct pci_id){ 0, PF }, nr);
	assert_int_equal(errors, 1);
	if (!strstr(last_error, why))
		fail_msg("expected \"%s\", got: %s", why, last_error);
	assert_false(is_on());
	assert_int_equal(nr_devices, 3);
	assert_int_equal(devices[1].nr_virtual, 0);
}

/* --- tests ---------------------------------------------------------------- */

static void without_addresses(void **state)
{
	(void)state;
	pci_enable_virtual((struct pci_id){ 0, PF }, 2);
	assert_int_equal(errors, 0);
	check(2);
	assert_int_equal(first_offset(), FIRST_WITH_ARI);
	/* 64 bits and prefetchable: in that window. */
	for (u32 i = 0; i < 4; i += 3)
		assert_in_range(devices[3].bar[i].base, 0xfea00000, 0xfebfffff);
}

static void high_window(void **state)
{
	(void)state;
	poke(&port, 0x24, 4, 0xfff10001);
	poke(&port, 0x28, 4, 0x38);
	poke(&port, 0x2c, 4, 0x38);
	pci_enable_virtual((struct pci_id){ 0, PF }, TOTAL);
	assert_int_equal(errors, 0);
	check(TOTAL);
	assert_in_range(devices[3].bar[3].base, 0x3800000000, 0x38ffffffff);
}

static void addresses_of_the_firmware_stay(void **state)
{
	(void)state;
	poke(&pf, BAR(0), 4, 0xfe700000 | 0xc);
	poke(&pf, BAR(4), 4, 0x12);
	pci_enable_virtual((struct pci_id){ 0, PF }, 3);
	assert_int_equal(errors, 0);
	check(3);
	assert_int_equal(devices[3].bar[0].base, 0xfe700000);
	assert_int_equal(devices[4].bar[3].base, 0x1200004000);
}

static void root_bus(void **state)
{
	(void)state;
	/* An integrated endpoint: its functions follow on its own bus, and Weir cannot know what
	 * else there is free. */
	poke(&port, PCI_SECONDARY_BUS, 1, 2);
	integrated = true;
	refused(1, "on a root bus");
	setup(state);
	poke(&port, PCI_SECONDARY_BUS, 1, 2);
	integrated = true;
	poke(&pf, BAR(0), 4, 0xfe700000 | 0xc);
	poke(&pf, BAR(3), 4, 0xfe740000 | 0xc);
	pci_enable_virtual((struct pci_id){ 0, PF }, 4);
	assert_int_equal(errors, 0);
	check(4);
}

static void not_to_be_had(void **state)
{
	refused(TOTAL + 1, "fewer virtual functions");
	setup(state);
	poke(&pf, CONTROL, 2, 0);
	devices[1].sriov = 0;
	refused(1, "no SR-IOV capability");
	setup(state);
	poke(&port, PORT_PCIE + 0x24, 4, 0); /* its functions are on bus 2 then */
	refused(1, "no bus number");
	setup(state);
	devices[2].id.bdf = PCI_BDF(1, 16, 2); /* where the second one would be */
	refused(2, "have their ids already");
	setup(state);
	pf.vf_bar[0].size = 0x800;
	refused(1, "are invalid");
	setup(state);
	poke(&pf, BAR(0), 4, pf.vf_bar[0].type = 1);
	refused(1, "are invalid");
	setup(state);
	poke(&pf, CONTROL, 2, VF_ENABLE);
	pci_enable_virtual((struct pci_id){ 0, PF }, 1);
	assert_non_null(strstr(last_error, "already"));
	assert_int_equal(nr_devices, 3);
	setup(state);
	pci_enable_virtual((struct pci_id){ 0, 0x1234 }, 1);
	assert_non_null(strstr(last_error, "no such device"));
}

static void no_room(void **state)
{
	set_window(0x20, 0xfe600000, 0xfe6fffff);
	set_window(0x24, 0xfff00000, 0); /* closed */
	devices[2].bar[0] = (struct pci_bar){ .base = 0xfe650000, .size = 0xb0000 };
	refused(8, "has no room");
	setup(state);
	/* Windows that firmware left unconfigured: the range is RAM. */
	set_window(0x20, 0, 0xfffff);
	set_window(0x24, 0, 0xfffff);
	refused(1, "has no room");
}

static void over_something_else(void **state)
{
	static const u64 places[] = { 0xfe600000, 0xfe640000,		0xfd000000 - 0x4000,
				      0x10000000, 0xb8000000,		0xfec00000,
				      0xfee00000, RAM_LAST + 1 - 0x4000 };

	for (u32 i = 0; i < ARRAY_SIZE(places); i++) {
		setup(state);
		poke(&pf, BAR(0), 4, (u32)places[i] | 0xc);
		refused(2, "overlap something else");
	}
	setup(state);
	/* The BARs overlap. */
	poke(&pf, BAR(0), 4, 0xfe700000 | 0xc);
	poke(&pf, BAR(3), 4, 0xfe704000 | 0xc);
	refused(2, "overlap something else");
}

static void silence(void **state)
{
	(void)state;
	answering = 1;
	pci_enable_virtual((struct pci_id){ 0, PF }, 2);
	assert_int_equal(errors, 1);
	assert_non_null(strstr(last_error, "do not answer"));
	assert_int_equal(devices[1].nr_virtual, 1);
	assert_int_equal(nr_devices, 4);
}

/* Random windows, sizes and neighbours: either everything is correct, or nothing is enabled. */
static void at_random(void **state)
{
	u32 on = 0;

	srand(test_seed());
	for (u32 round = 0; round < 20000; round++) {
		u64 base = 0xc0000000 + (u64)(rand() % 0x300) * MB,
		    size = (u64)(1 + rand() % 4) * MB;
		u32 nr = 1 + rand() % TOTAL;

		setup(state);
		set_window(0x20, base, base + size - 1);
		set_window(0x24, base + size, base + size + (rand() % 3) * MB - 1);
		devices[1].bar[0].base = base;
		devices[1].bar[3].base = base + 0x40000;
		devices[2].bar[0] = (struct pci_bar){ .base = base + (rand() % 0x400) * 0x1000,
						      .size = 0x1000u << rand() % 8 };
		for (u32 i = 0; i < PCI_BARS; i++) {
			pf.vf_bar[i].type = 0;
			pf.vf_bar[i].size = rand() % 2 ? 0x1000u << rand() % 8 : 0;
			if (pf.vf_bar[i].size)
				pf.vf_bar[i].type = (u32[]){ 0, 8, 4,
							     0xc }[rand() % (i == 5 ? 2 : 4)];
			poke(&pf, BAR(i), 4, pf.vf_bar[i].type);
			if (pf.vf_bar[i].type & 4) {
				pf.vf_bar[++i].size = 0;
				pf.vf_bar[i].type = 0;
				poke(&pf, BAR(i), 4, 0);
			}
		}
		pci_enable_virtual((struct pci_id){ 0, PF }, nr);
		if (errors) {
			assert_false(is_on());
			assert_int_equal(nr_devices, 3);
			continue;
		}
		check(nr);
		for (u32 i = 0; i < PCI_BARS; i++)
			if (devices[3].bar[i].size)
				assert_in_range(devices[3].bar[i].base, base,
						base + size + 2 * MB - nr * devices[3].bar[i].size);
		on++;
	}
	assert_in_range(on, 2000, 19000);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(without_addresses, setup),
		cmocka_unit_test_setup(high_window, setup),
		cmocka_unit_test_setup(addresses_of_the_firmware_stay, setup),
		cmocka_unit_test_setup(root_bus, setup),
		cmocka_unit_test_setup(not_to_be_had, setup),
		cmocka_unit_test_setup(no_room, setup),
		cmocka_unit_test_setup(over_something_else, setup),
		cmocka_unit_test_setup(silence, setup),
		cmocka_unit_test_setup(at_random, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
