/* A guest plays with the configuration space and the MSI-X table of its device in every way it can: whatever it writes, the
 * real device keeps its BARs, sends only messages in remappable format, and masters the bus only when it may.
 *
 * sources: kernel/assign.c kernel/vpci.c kernel/vpciconfig.c kernel/vpcibar.c kernel/vmsi.c kernel/bus.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <drivers/pci.h>
#include <kernel/abi/control.h>
#include <kernel/alloc.h>
#include <kernel/assign.h>
#include <kernel/domain.h>
#include <kernel/errno.h>
#include <kernel/irq.h>
#include <kernel/memory.h>
#include <kernel/options.h>
#include <kernel/paging.h>
#include <kernel/string.h>
#include <kernel/vcpu.h>
#include <kernel/event.h>
#include <kernel/shootdown.h>
#include <kernel/vpci.h>
#include <kernel/vpcifn.h>

#include <cmocka.h>

/* --- the machine: one device like an 82574, its registers in host memory ---------------------------------------------------- */

#define BAR0_BASE 0xfeb80000UL
#define BAR3_BASE 0xfebd0000UL
#define BAR3_SIZE 0x4000UL
#define MSIX_VECTORS 5
#define CAP_PM_AT 0xc8
#define CAP_MSI_AT 0xd0
#define CAP_PCIE_AT 0xe0
#define CAP_MSIX_AT 0xa0

static u8 config[256];
static u8 bar3[BAR3_SIZE] __aligned(4096);
static struct pci_device device;
static struct domain dom;
static struct vcpu vcpus[2];
static struct cpu cpu0;
struct cpu *cpus[MAX_CPUS] = { &cpu0 };
u32 nr_cpus = 1;

static bool attached;
static int irqs, irtes;
static u64 direct_pages;
static int timers;
static struct timer *last_timer;
static int delivered_vcpu, delivered_vector;
static void (*irq_handler[256])(void *arg);
static void *irq_arg[256];

#define ACCESS(bits)                                                                               \
	u##bits pci_config_read##bits(u16 segment, u16 bdf, u16 offset)                            \
	{                                                                                          \
		u##bits v;                                                                         \
		(void)segment, (void)bdf;                                                          \
		assert_true(offset + bits / 8 <= 256 && !(offset % (bits / 8)));                   \
		memcpy(&v, &config[offset], sizeof(v));                                            \
		return v;                                                                          \
	}                                                                                          \
	void pci_config_write##bits(u16 segment, u16 bdf, u16 offset, u##bits v)                   \
	{                                                                                          \
		(void)segment, (void)bdf;                                                          \
		assert_true(offset + bits / 8 <= 256 && !(offset % (bits / 8)));                   \
		memcpy(&config[offset], &v, sizeof(v));                                            \
	}
ACCESS(8)
ACCESS(16)
ACCESS(32)

struct pci_device *pci_find(struct pci_id id)
{
	return id.bdf == device.id.bdf ? &device : NULL;
}

void pci_set_bus_master(const struct pci_device *d, bool on)
{
	(void)d;
	config[PCI_COMMAND] = (u8)((config[PCI_COMMAND] & ~4) | (on ? 4 : 0));
}

const char *pci_name(struct pci_id id, char buf[16])
{
	(void)id;
	return strcpy(buf, "00:03.0");
}

bool pci_reset_start(struct pci_device *d)
{
	(void)d;
	return true;
}

void pci_reset_finish(struct pci_device *d)
{
	(void)d;
}

u64 clock_ns(void)
{
	return 0;
}

void timer_init(struct timer *t, void (*fn)(struct timer *t))
{
	t->fn = fn;
}

void timer_set(struct timer *t, u64 ns)
{
	(void)ns;
	timers++;
	last_timer = t;
}

static struct work *queued, *forgotten;

void work_init(struct work *w, bool (*step)(struct work *w))
{
	w->step = step;
}

void work_queue(struct work *w)
{
	assert_true(!queued || queued == w);
	queued = w;
}

void work_forget(struct work *w)
{
	forgotten = w;
}

bool work_run(void)
{
	struct work *w = queued;

	if (!w)
		return false;
	queued = forgotten = NULL;
	if (!w->step(w) && forgotten != w)
		queued = w;
	return true;
}

/* The timer that was set fires, and what follows from it is done. */
static void fire(void)
{
	struct timer *t = last_timer;

	assert_non_null(t);
	last_timer = NULL;
	t->fn(t);
	while (work_run())
		;
}

void irq_wait(void)
{
	fire();
}

static u32 events;

void domain_event(struct domain *d, u32 bits)
{
	assert_ptr_equal(d, &dom);
	events |= bits;
}

static bool cpus_flushed;

bool shootdown_done(struct domain *d, u64 generation)
{
	(void)d, (void)generation;
	return cpus_flushed;
}

static int map_steps, map_result;

int memory_map_for_devices(struct domain *d, gfn_t *gfn)
{
	assert_ptr_equal(d, &dom);
	assert_false(attached);
	*gfn += 512;
	if (map_steps)
		return map_steps-- == 2 ? -EAGAIN : 1;
	return map_result;
}

volatile void *mmio_map(paddr_t pa, size_t size)
{
	assert_true(pa >= BAR3_BASE && pa + size <= BAR3_BASE + BAR3_SIZE);
	return bar3 + (pa - BAR3_BASE);
}

void *kzalloc(size_t size)
{
	return calloc(1, size);
}

void kfree(void *p)
{
	free(p);
}

int memory_map_device(struct domain *d, gfn_t gfn, mfn_t mfn, u64 nr)
{
	(void)d;
	/* Only the device's own pages, never the one with the MSI-X table, and only inside the
	 * guest's window. */
	assert_true((mfn >= BAR0_BASE >> 12 && mfn + nr <= (BAR0_BASE + 0x20000) >> 12) ||
		    (mfn > BAR3_BASE >> 12 && mfn + nr <= (BAR3_BASE + BAR3_SIZE) >> 12));
	assert_true(gfn >= 0xe0000 && gfn + nr <= 0xfec00);
	direct_pages += nr;
	return 0;
}

void memory_unmap_device(struct domain *d, gfn_t gfn, u64 nr)
{
	(void)d, (void)gfn;
	direct_pages -= MIN(direct_pages, nr);
}

int irq_alloc(u32 cpu, void (*handler)(void *arg), void *arg)
{
	assert_int_equal(cpu, 0);
	irq_handler[0x30 + irqs] = handler;
	irq_arg[0x30 + irqs] = arg;
	return 0x30 + irqs++;
}

void irq_free(u32 cpu, int vector)
{
	(void)cpu, (void)vector;
	irqs--;
}

const char *iommu_why_not(struct pci_id dev, bool trusted)
{
	(void)dev, (void)trusted;
	return NULL;
}

const char *pci_reset_method(const struct pci_device *d)
{
	(void)d;
	return "function-level reset";
}

const char *iommu_why_no_ats(struct pci_id dev)
{
	(void)dev;
	return "it has no ATS capability";
}

struct options options;

u16 domain_info(u16 id, struct weir_domain_info *info)
{
	strcpy(info->name, dom.name);
	return id;
}

static int attach_result;

int iommu_attach(struct iommu_domain *d, struct pci_id dev, u32 flags)
{
	(void)flags;
	(void)d, (void)dev;
	assert_false(config[PCI_COMMAND] & 4);
	attached = !attach_result;
	return attach_result;
}

void iommu_detach(struct pci_id dev, void (*done)(void *arg), void *arg)
{
	(void)dev;
	assert_false(config[PCI_COMMAND] & 4);
	attached = false;
	done(arg);
}

int iommu_irte_alloc(struct iommu_irte *e, struct pci_id dev)
{
	*e = (struct iommu_irte){ .dev = dev, .index = (u16)irtes++, .valid = true };
	return 0;
}

void iommu_irte_set(struct iommu_irte *e, u32 apic_id, u8 vector)
{
	(void)e, (void)apic_id;
	assert_true(vector >= 0x30);
}

void iommu_irte_free(struct iommu_irte *e, void (*done)(void *arg), void *arg)
{
	e->valid = false;
	irtes--;
	done(arg);
}

void iommu_irte_message(const struct iommu_irte *e, u64 *address, u32 *data)
{
	assert_true(e->valid);
	*address = 0xfee00010UL | (u64)e->index << 5;
	*data = 0;
}

void vlapic_deliver(struct vcpu *v, u8 vector)
{
	delivered_vcpu = (int)v->id;
	delivered_vector = vector;
}

static void put32(u32 offset, u32 v)
{
	memcpy(&config[offset], &v, 4);
}

static u32 get32(u32 offset)
{
	u32 v;

	memcpy(&v, &config[offset], 4);
	return v;
}

static int setup(void **state)
{
	(void)state;
	memset(config, 0, sizeof(config));
	memset(bar3, 0, sizeof(bar3));
	put32(0x00, 0x10d38086);
	put32(0x04, 0x00100007);
	put32(0x08, 0x02000000);
	put32(0x10, (u32)BAR0_BASE);
	put32(0x1c, (u32)BAR3_BASE);
	put32(0x34, CAP_PM_AT);
	put32(CAP_PM_AT, 0xc8220001 | CAP_MSI_AT << 8);
	put32(CAP_MSI_AT, 0x00800005 | CAP_PCIE_AT << 8);
	put32(CAP_PCIE_AT, 0x00010010 | CAP_MSIX_AT << 8);
	put32(CAP_PCIE_AT + 4, 0x10008cc1);
	put32(CAP_MSIX_AT, 0x00000011 | (MSIX_VECTORS - 1) << 16);
	put32(CAP_MSIX_AT + 4, 3);
	put32(CAP_MSIX_AT + 8, 0x2000 | 3);
	device = (struct pci_device){
		.id = { 0, PCI_BDF(0, 3, 0) },
		.vendor = 0x8086,
		.device = 0x10d3,
		.class = 0x0200,
		.pm = CAP_PM_AT,
		.msi = CAP_MSI_AT,
		.msix = CAP_MSIX_AT,
		.pcie = CAP_PCIE_AT,
		.bars_ok = true,
	};
	device.bar[0] = (struct pci_bar){ .base = BAR0_BASE, .size = 0x20000 };
	device.bar[2] = (struct pci_bar){ .base = 0xc000, .size = 32, .io = true };
	device.bar[3] = (struct pci_bar){ .base = BAR3_BASE, .size = BAR3_SIZE };

	memset(&dom, 0, sizeof(dom));
	dom.id = 7;
	strcpy(dom.name, "net0");
	dom.nr_vcpus = 2;
	for (u32 i = 0; i < 2; i++) {
		vcpus[i].id = i;
		dom.vcpu[i] = &vcpus[i];
	}
	irqs = irtes = timers = 0;
	direct_pages = 0;
	events = 0;
	last_timer = NULL;
	map_steps = map_result = attach_result = 0;
	cpus_flushed = true;
	return vpci_init(&dom) || assign_start(&dom, &device, 0) || assign_settle(&dom) != 1;
}

static bool removed;

static void mark_removed(void *arg)
{
	(void)arg;
	removed = true;
}

static void check_free(void)
{
	assert_int_equal(device.state, PCI_FREE);
	assert_int_equal(device.owner, 0);
	assert_false(attached);
	assert_int_equal(irqs, 0);
	assert_int_equal(irtes, 0);
	assert_int_equal(direct_pages, 0);
	assert_int_equal(dom.mmio.nr, 0);
}

static int teardown(void **state)
{
	bool had_device = device.state != PCI_FREE;

	(void)state;
	removed = false;
	assign_take_all(&dom, mark_removed, NULL);
	if (had_device) {
		/* Not before the reset is over. */
		assert_false(removed);
		fire();
	}
	assert_true(removed);
	assert_null(dom.pci);
	check_free();
	return 0;
}

/* --- the guest -------------------------------------------------------------------------------------------------------------- */

static u64 in(u16 port, unsigned int size)
{
	u64 value;

	assert_int_equal(bus_read(&dom.io, &vcpus[0], port, size, &value), 0);
	return value;
}

static void out(u16 port, unsigned int size, u64 value)
{
	assert_int_equal(bus_write(&dom.io, &vcpus[0], port, size, value), 0);
}

static void select_register(u32 slot, u32 offset)
{
	out(0xcf8, 4, 0x80000000 | slot << 11 | (offset & 0xfc));
}

static u32 cfg_read(u32 slot, u32 offset, unsigned int size)
{
	select_register(slot, offset);
	return (u32)in((u16)(0xcfc + offset % 4), size);
}

static void cfg_write(u32 slot, u32 offset, unsigned int size, u32 value)
{
	select_register(slot, offset);
	out((u16)(0xcfc + offset % 4), size, value);
}

static u64 mem_read(u64 gpa, unsigned int size)
{
	u64 value;

	assert_int_equal(bus_read(&dom.mmio, &vcpus[0], gpa, size, &value), 0);
	return value;
}

static void mem_write(u64 gpa, unsigned int size, u64 value)
{
	assert_int_equal(bus_write(&dom.mmio, &vcpus[0], gpa, size, value), 0);
}

/* What must hold whatever a guest does. */
static void check_device(void)
{
	assert_int_equal(get32(0x10), BAR0_BASE);
	assert_int_equal(get32(0x1c), BAR3_BASE);
	assert_int_equal(get32(0x30), 0);
	/* Memory decoding stays on, I/O decoding off, legacy interrupts off. */
	assert_int_equal(config[PCI_COMMAND] & 3, 2);
	assert_true(config[PCI_COMMAND + 1] & 4);
	assert_int_equal(config[PCI_COMMAND] & ~6, 0);
	/* MSI: off, or a message in remappable format. */
	if (config[CAP_MSI_AT + 2] & 1) {
		assert_int_equal(get32(CAP_MSI_AT + 4) & 0xfff00010, 0xfee00010);
		assert_int_equal(get32(CAP_MSI_AT + 8), 0);
	}
	assert_int_equal(get32(CAP_PM_AT + 4), 0);
	assert_int_equal(config[CAP_PCIE_AT + 9] & 0x80, 0);
	for (u32 i = 0; i < MSIX_VECTORS; i++) {
		u32 e[4];

		memcpy(e, bar3 + 16 * i, sizeof(e));
		if (!(e[3] & 1) && (config[CAP_MSIX_AT + 3] & 0x80)) {
			assert_int_equal(e[0] & 0xfff00010, 0xfee00010);
			assert_int_equal(e[1], 0);
			assert_int_equal(e[2], 0);
		}
	}
}

static void what_is_there(void **state)
{
	(void)state;
	assert_int_equal(cfg_read(0, 0, 4), 0x29c08086);
	assert_int_equal(cfg_read(3, 0, 4), 0x10d38086);
	assert_int_equal(cfg_read(3, 2, 2), 0x10d3);
	assert_int_equal(cfg_read(3, 1, 1), 0x80);
	assert_int_equal(cfg_read(4, 0, 4), 0xffffffff);
	out(0xcf8, 4, 0x80010000 | 3 << 11); /* bus 1 */
	assert_int_equal(in(0xcfc, 4), 0xffffffff);
	out(0xcf8, 4, 0x80000000 | 3 << 11 | 1 << 8); /* function 1 */
	assert_int_equal(in(0xcfc, 4), 0xffffffff);
	out(0xcf8, 4, 3 << 11); /* not enabled */
	assert_int_equal(in(0xcfc, 4), 0xffffffff);
	assert_int_equal(in(0xcf8, 2), 0xffff);
}

static void capabilities_are_filtered(void **state)
{
	u32 seen = 0, at = cfg_read(3, 0x34, 1);

	(void)state;
	for (int n = 0; at; n++) {
		assert_true(n < 8);
		u32 id = cfg_read(3, at, 1);

		assert_true(id == 1 || id == 5 || id == 0x10 || id == 0x11);
		seen |= BIT(id);
		at = cfg_read(3, at + 1, 1);
	}
	assert_int_equal(seen, BIT(1) | BIT(5) | BIT(0x10) | BIT(0x11));
	/* No function-level reset is offered. */
	assert_int_equal(cfg_read(3, CAP_PCIE_AT + 4, 4) & BIT(28), 0);
}

static void bars_are_sized_and_moved(void **state)
{
	u32 at0 = cfg_read(3, 0x10, 4), at3 = cfg_read(3, 0x1c, 4);

	(void)state;
	assert_true(at0 >= 0xe0000000 && at3 >= 0xe0000000);
	assert_int_equal(cfg_read(3, 0x18, 4), 0); /* the I/O BAR is hidden */
	cfg_write(3, 0x10, 4, 0xffffffff);
	assert_int_equal(cfg_read(3, 0x10, 4), 0xfffe0000);
	cfg_write(3, 0x10, 4, at0);
	cfg_write(3, 0x1c, 4, 0xffffffff);
	assert_int_equal(cfg_read(3, 0x1c, 4), 0xffffc000);
	cfg_write(3, 0x1c, 4, at3);
	assert_int_equal(direct_pages, 0);

	cfg_write(3, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	assert_int_equal(direct_pages,
			 0x20 + 1); /* BAR 3: table in page 0, pending bits in page 2, and what is between */
	assert_int_equal(mem_read(at3 + 12, 4), 1);
	cfg_write(3, 0x1c, 4, 0xe8000000);
	assert_int_equal(mem_read(0xe8000000 + 12, 4), 1);
	assert_int_equal(mem_read(at3 + 12, 4), 0xffffffff);
	/* Over RAM, or over the APIC's page: not mapped anywhere. */
	cfg_write(3, 0x1c, 4, 0x00100000);
	cfg_write(3, 0x10, 4, 0xfee00000);
	assert_int_equal(dom.mmio.nr, 0);
	check_device();
}

static void msix_is_delivered(void **state)
{
	u64 table = cfg_read(3, 0x1c, 4);

	(void)state;
	cfg_write(3, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_BUS_MASTER);
	cfg_write(3, CAP_MSIX_AT + 2, 2, 0x8000);
	mem_write(table + 16, 4, 0xfee01000); /* vCPU 1 */
	mem_write(table + 24, 4, 0x41);
	assert_int_equal(irqs, 0);
	mem_write(table + 28, 4, 0);
	assert_int_equal(irqs, 1);
	check_device();
	assert_int_equal(bar3[16 + 12], 0);
	irq_handler[0x30](irq_arg[0x30]);
	assert_int_equal(delivered_vcpu, 1);
	assert_int_equal(delivered_vector, 0x41);

	/* Re-routed without a new vector. */
	mem_write(table + 16, 8, 0xfee00000);
	mem_write(table + 24, 4, 0x52);
	irq_handler[0x30](irq_arg[0x30]);
	assert_int_equal(delivered_vcpu, 0);
	assert_int_equal(delivered_vector, 0x52);
	assert_int_equal(irqs, 1);

	/* Masked, or to a vCPU that is not there, or no interrupt message at all: nothing
	 * arrives. */
	delivered_vector = -1;
	mem_write(table + 28, 4, 1);
	irq_handler[0x30](irq_arg[0x30]);
	mem_write(table + 28, 4, 0);
	mem_write(table + 16, 4, 0xfee07000);
	irq_handler[0x30](irq_arg[0x30]);
	mem_write(table + 16, 4, 0x12345000);
	irq_handler[0x30](irq_arg[0x30]);
	assert_int_equal(delivered_vector, -1);
	assert_int_equal(bar3[16 + 12], 1);
	check_device();
}

static void msi_is_delivered(void **state)
{
	(void)state;
	cfg_write(3, CAP_MSI_AT + 4, 4, 0xfee00000);
	cfg_write(3, CAP_MSI_AT + 12, 2, 0x61);
	cfg_write(3, CAP_MSI_AT + 2, 2, 1);
	assert_int_equal(config[CAP_MSI_AT + 2] & 1, 1);
	check_device();
	irq_handler[0x30](irq_arg[0x30]);
	assert_int_equal(delivered_vector, 0x61);
	cfg_write(3, CAP_MSI_AT + 2, 2, 0);
	assert_int_equal(config[CAP_MSI_AT + 2] & 1, 0);
}

/* Every width at every offset, and every corner of the MSI-X table, for a while. */
static void random_accesses(void **state)
{
	static const unsigned int sizes[] = { 1, 2, 4, 8 };
	unsigned int seed = getenv("SEED") ? (unsigned int)atoi(getenv("SEED")) : 4711;

	(void)state;
	print_message("seed %u\n", seed);
	srand(seed);
	for (int i = 0; i < 200000; i++) {
		unsigned int size = sizes[rand() % 3];
		u32 offset = (u32)(rand() % 256) & ~(size - 1),
		    value = (u32)rand() << 16 ^ (u32)rand();

		switch (rand() % 8) {
		case 0:
			out((u16)(0xcf8 + rand() % 8), size, value);
			break;
		case 1:
			in((u16)(0xcf8 + rand() % 8), size);
			break;
		case 2:
			cfg_read(3, offset, size);
			break;
		case 3:
			value = 0xfee00000 | (value & 0xff00f);
			/* fall through */
		case 4:
			cfg_write(3, offset, size, value);
			break;
		case 5:
			cfg_write(3, PCI_COMMAND, 2, value & 0xffff);
			cfg_write(3, 0x1c, 4, 0xe0000000 + (value & 0x1fffc000));
			break;
		case 6:
			mem_write((cfg_read(3, 0x1c, 4) & ~0xfu) + (u32)(rand() % 0x3000),
				  sizes[rand() % 4],
				  rand() % 2 ? value : 0xfee00000 | (value & 0xff0ff));
			break;
		case 7:
			mem_read((cfg_read(3, 0x1c, 4) & ~0xfu) + (u32)(rand() % 0x3000),
				 sizes[rand() % 4]);
			break;
		}
		check_device();
	}
}

static void refused(u32 flags, const char *word)
{
	char buf[160];
	const char *why = assign_why_not(&dom, &device, flags, buf, sizeof(buf));

	assert_non_null(why);
	if (!strstr(why, word))
		fail_msg("\"%s\" does not say \"%s\"", why, word);
}

static void refusals(void **state)
{
	(void)state;
	refused(0, "belongs to domain net0 already");
	assert_non_null(assign_why_never(NULL, false));
	device.owner = 0;
	refused(IOMMU_ATS, "no ATS capability");
	device.class = 0x0604;
	refused(0, "bridge");
	device.class = 0x0200;
	device.bars_ok = false;
	refused(0, "BARs");
	device.bars_ok = true;
	device.msi = device.msix = 0;
	refused(0, "MSI");
	device.msi = CAP_MSI_AT;
	device.msix = CAP_MSIX_AT;
	device.owner = dom.id;
}

/* --- while the domain runs -------------------------------------------------------------------------------------------------- */

static void take(void)
{
	assert_int_equal(assign_take(&device), 0);
	fire();
	check_free();
}

static void taken_and_given_back(void **state)
{
	u64 table = cfg_read(3, 0x1c, 4);

	(void)state;
	/* In full use. */
	cfg_write(3, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_BUS_MASTER);
	cfg_write(3, CAP_MSIX_AT + 2, 2, 0x8000);
	mem_write(table, 4, 0xfee00000);
	mem_write(table + 8, 4, 0x41);
	mem_write(table + 12, 4, 0);
	assert_int_equal(irqs, 1);
	assert_true(direct_pages > 0);
	events = 0;

	assert_int_equal(assign_take(&device), 0);
	assert_int_equal(events, WEIR_EVENT_DEVICES);
	assert_int_equal(device.state, PCI_DETACHING);
	assert_int_equal(cfg_read(3, 0, 4), 0xffffffff);
	assert_false(config[PCI_COMMAND] & 4);
	assert_int_equal(direct_pages, 0);
	assert_int_equal(assign_take(&device), -EBUSY);
	assert_int_equal(assign_start(&dom, &device, 0), -EBUSY);
	/* A CPU may still have the registers mapped. */
	cpus_flushed = false;
	fire();
	assert_int_equal(device.state, PCI_DETACHING);
	cpus_flushed = true;
	fire();
	check_free();
	assert_int_equal(assign_take(&device), -EBUSY);

	events = 0;
	map_steps = 3;
	assert_int_equal(assign_start(&dom, &device, 0), 0);
	assert_int_equal(device.state, PCI_ATTACHING);
	assert_int_equal(device.owner, dom.id);
	assert_int_equal(assign_take(&device), -EBUSY);
	assert_int_equal(assign_start(&dom, &device, 0), -EBUSY);
	fire();
	/* No batch was free. */
	assert_int_equal(device.state, PCI_ATTACHING);
	assert_int_equal(cfg_read(3, 0, 4), 0xffffffff);
	fire();
	assert_int_equal(device.state, PCI_ATTACHED);
	assert_int_equal(events, WEIR_EVENT_DEVICES);
	assert_int_equal(cfg_read(3, 0, 4), 0x10d38086);
	/* Nothing is left of what the guest had set up. */
	assert_int_equal(cfg_read(3, PCI_COMMAND, 2), 0);
	assert_int_equal(cfg_read(3, CAP_MSIX_AT + 2, 2) >> 15, 0);
}

static void attaching_fails(void **state)
{
	(void)state;
	take();
	map_result = -ENOMEM;
	assert_int_equal(assign_start(&dom, &device, 0), 0);
	fire();
	check_free();
	map_result = 0;
	attach_result = -ENODEV;
	assert_int_equal(assign_start(&dom, &device, 0), 0);
	fire();
	check_free();
	attach_result = -EAGAIN;
	assert_int_equal(assign_start(&dom, &device, 0), 0);
	fire();
	assert_int_equal(device.state, PCI_ATTACHING);
	attach_result = 0;
	fire();
	assert_int_equal(device.state, PCI_ATTACHED);
}

/* At each point of attaching; teardown() looks that all is gone. */
static void domain_ends_meanwhile(void **state)
{
	for (u32 at = 0; at < 4; at++) {
		take();
		map_steps = at == 1 ? 2 : 0;
		attach_result = at == 2 ? -EAGAIN : 0;
		assert_int_equal(assign_start(&dom, &device, 0), 0);
		if (at)
			fire();
		assert_int_equal(device.state, at == 3 ? PCI_ATTACHED : PCI_ATTACHING);
		attach_result = 0;
		assert_int_equal(teardown(state), 0);
		assert_int_equal(setup(state), 0);
	}
	/* Taken already, when the domain ends. */
	assert_int_equal(assign_take(&device), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_there, setup, teardown),
		cmocka_unit_test_setup_teardown(capabilities_are_filtered, setup, teardown),
		cmocka_unit_test_setup_teardown(bars_are_sized_and_moved, setup, teardown),
		cmocka_unit_test_setup_teardown(msix_is_delivered, setup, teardown),
		cmocka_unit_test_setup_teardown(msi_is_delivered, setup, teardown),
		cmocka_unit_test_setup_teardown(random_accesses, setup, teardown),
		cmocka_unit_test_setup_teardown(refusals, setup, teardown),
		cmocka_unit_test_setup_teardown(taken_and_given_back, setup, teardown),
		cmocka_unit_test_setup_teardown(attaching_fails, setup, teardown),
		cmocka_unit_test_setup_teardown(domain_ends_meanwhile, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
